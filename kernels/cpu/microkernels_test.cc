#include "kernels/cpu/microkernels.h"

#include <limits>

#include "kernels/bfloat16.h"
#include "kernels/cpu/forms.h"
#include "kernels/fp8.h"
#include "kernels/problems.h"

namespace tessera::cpu {
namespace {

class MicrokernelsTest : public EveryFormTest {};
INSTANTIATE_TEST_SUITE_P(Forms, MicrokernelsTest, kEveryForm, FormName);

double UnitsInTheLastPlace(float got, double wanted) {
  const double unit = std::nextafter(static_cast<float>(wanted), std::numeric_limits<float>::infinity()) -
                      static_cast<double>(static_cast<float>(wanted));
  return std::abs(got - wanted) / unit;
}

TEST_P(MicrokernelsTest, ExponentialIsWithinTwoUnitsInTheLastPlace) {
  const Microkernels& kernels = MicrokernelsFor(GetParam());
  for (float x = -87.0F; x < 88.7F; x += 0.00317F) {
    ASSERT_LE(UnitsInTheLastPlace(kernels.exponential(x), std::exp(static_cast<double>(x))), 2.0) << x;
  }
  EXPECT_EQ(kernels.exponential(0), 1.0F);
  EXPECT_EQ(kernels.exponential(-std::numeric_limits<float>::infinity()), 0.0F);
  EXPECT_EQ(kernels.exponential(-150), 0.0F);
  EXPECT_EQ(kernels.exponential(200), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(kernels.exponential(std::numeric_limits<float>::quiet_NaN())));
}

TEST_P(MicrokernelsTest, EveryE4M3ByteExpandsToItsValue) {
  std::vector<uint8_t> bytes(256 + 5);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i);
  std::vector<uint16_t> halves(bytes.size());
  MicrokernelsFor(GetParam()).e4m3_to_bf16(bytes.data(), static_cast<int64_t>(bytes.size()), halves.data());
  for (size_t i = 0; i < bytes.size(); ++i) {
    const float wanted = kE4M3Values[bytes[i]];
    BFloat16 got;
    got.bits = halves[i];
    EXPECT_TRUE(std::isnan(wanted) ? std::isnan(static_cast<float>(got)) : static_cast<float>(got) == wanted) << i;
  }
}

TEST_P(MicrokernelsTest, RoundingToBF16IsToNearestEven) {
  Numbers numbers(1);
  std::vector<float> values = numbers.Vector(997, -100, 100);
  values.insert(values.end(), {0.0F, -0.0F, 1.00390625F, 1.01171875F, std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::quiet_NaN(), 1.0F});
  const Microkernels& kernels = MicrokernelsFor(GetParam());
  const auto count = static_cast<int64_t>(values.size());
  std::vector<uint16_t> halves(values.size());
  std::vector<float> back(values.size());
  kernels.to_bf16(values.data(), count, halves.data());
  kernels.from_bf16(halves.data(), count, back.data());
  for (size_t i = 0; i < values.size(); ++i) {
    const float wanted = RoundToBFloat16(values[i]);
    EXPECT_TRUE(std::isnan(wanted) ? std::isnan(back[i]) : back[i] == wanted) << values[i];
  }
}

TEST_P(MicrokernelsTest, TransposePadsMissingRowsWithZero) {
  const Microkernels& kernels = MicrokernelsFor(GetParam());
  const int64_t width = kernels.panel_width;
  for (const int64_t rows : {int64_t{0}, int64_t{1}, width / 2 + 1, width}) {
    for (const int64_t columns : {1, 15, 16, 17, 40}) {
      const int64_t stride = columns + 3;
      std::vector<uint32_t> input(static_cast<size_t>(width * stride));
      for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<uint32_t>(i + 1);
      std::vector<uint32_t> output(static_cast<size_t>(columns * width + 1), 77U);
      kernels.transpose(input.data(), stride * 4, rows, columns, width, output.data());
      for (int64_t c = 0; c < columns; ++c) {
        for (int64_t r = 0; r < width; ++r) {
          ASSERT_EQ(output[static_cast<size_t>(c * width + r)],
                    r < rows ? static_cast<uint32_t>(r * stride + c + 1) : 0U)
              << rows << " rows, row " << r << " column " << c;
        }
      }
      EXPECT_EQ(output.back(), 77U) << "wrote past the end";
    }
  }
}

TEST(IsaTest, NamesAreFoundAgainAndUnknownOnesAreNot) {
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
    EXPECT_EQ(IsaFromName(Name(isa)), isa);
  }
  EXPECT_EQ(IsaFromName("sse9"), std::nullopt);
}

}  // namespace
}  // namespace tessera::cpu
