#include "kernels/matrix.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "kernels/bfloat16.h"
#include "kernels/float16.h"
#include "kernels/fp8.h"
#include "kernels/problems.h"

namespace tessera {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(NumberFormatsTest, Float16DecodesItsLandmarks) {
  EXPECT_EQ(DecodeFloat16(0x3C00), 1.0F);
  EXPECT_EQ(DecodeFloat16(0xC000), -2.0F);
  EXPECT_EQ(DecodeFloat16(0x7BFF), 65504.0F);
  EXPECT_EQ(DecodeFloat16(0x0001), 0x1p-24F);
  EXPECT_EQ(DecodeFloat16(0x83FF), -0x1.ff8p-15F);
  EXPECT_EQ(DecodeFloat16(0x7C00), kInfinity);
  EXPECT_TRUE(std::isnan(DecodeFloat16(0x7E01)));
  EXPECT_TRUE(std::signbit(DecodeFloat16(0x8000)));
}

TEST(NumberFormatsTest, E4M3DecodesItsLandmarks) {
  EXPECT_EQ(kE4M3Values[0x00], 0.0F);
  EXPECT_EQ(kE4M3Values[0x01], 0x1p-9F);
  EXPECT_EQ(kE4M3Values[0x08], 0x1p-6F);
  EXPECT_EQ(kE4M3Values[0x38], 1.0F);
  EXPECT_EQ(kE4M3Values[0x7E], 448.0F);
  EXPECT_EQ(kE4M3Values[0xFE], -448.0F);
  EXPECT_TRUE(std::isnan(kE4M3Values[0x7F]) && std::isnan(kE4M3Values[0xFF]));
}

TEST(NumberFormatsTest, BFloat16RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(RoundToBFloat16(1.00390625F), 1.0F);  // halfway between two: the even one
  EXPECT_EQ(RoundToBFloat16(1.01171875F), 1.015625F);
  EXPECT_EQ(RoundToBFloat16(std::numeric_limits<float>::max()), kInfinity);
  EXPECT_TRUE(std::isnan(RoundToBFloat16(std::numeric_limits<float>::quiet_NaN())));
}

TEST(MatrixTest, DequantizeMultipliesEachValueByTheScaleOfItsBlock) {
  const std::vector<uint8_t> bytes(5 * 7, 0x38);  // ones
  const std::vector<float> scales = {1, 2, 3, 4, 5, 6};
  const MatrixView matrix = {.data = bytes.data(),
                             .dtype = DType::kF8E4M3,
                             .rows = 5,
                             .cols = 7,
                             .scale = scales.data(),
                             .block_rows = 3,
                             .block_cols = 3};
  std::vector<float> values(35);
  Dequantize(matrix, values.data());
  EXPECT_EQ(values[0], 1);
  EXPECT_EQ(values[6], 3);
  EXPECT_EQ(values[2 * 7 + 3], 2);
  EXPECT_EQ(values[3 * 7 + 2], 4);
  EXPECT_EQ(values[34], 6);
}

TEST(MatrixTest, ACutHasTheValuesOfTheWholeWhereverItFalls) {
  Numbers numbers(1);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kF8E4M3}) {
    const OwnedMatrix matrix = OwnedMatrix::Random(numbers, dtype, 20, 9, 8, 4, 5);
    std::vector<float> whole(20 * 9);
    Dequantize(matrix.view(), whole.data());
    for (int64_t begin = 0; begin <= 20; ++begin) {
      for (int64_t count = 0; begin + count <= 20; ++count) {
        std::vector<float> cut(static_cast<size_t>(count * 9));
        Dequantize(matrix.view().Rows(begin / 2, 20 - begin / 2).Rows(begin - begin / 2, count), cut.data());
        ASSERT_EQ(cut, std::vector<float>(whole.begin() + begin * 9, whole.begin() + (begin + count) * 9))
            << "rows from " << begin;
      }
    }
  }
}

}  // namespace
}  // namespace tessera
