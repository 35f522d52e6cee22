// Embedding, RmsNorm, Rope, LatentWrite and Combine.

#include <limits>

#include "kernels/cpu/forms.h"
#include "kernels/problems.h"
#include "kernels/reference/reference_backend.h"

namespace tessera::cpu {
namespace {

class RowOperationsTest : public EveryFormTest {
 protected:
  // run(backend) on both, within `relative`.
  template <typename Run>
  void ExpectMatchesReference(const Run& run, float relative) {
    EXPECT_THAT(run(*MakeForm()), IsCloseTo(run(*reference::MakeBackend()), relative));
  }
};
INSTANTIATE_TEST_SUITE_P(Forms, RowOperationsTest, kEveryForm, FormName);

TEST_P(RowOperationsTest, EmbeddingReadsTheRowsOfItsTokensInEveryType) {
  Numbers numbers(1);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kF8E4M3}) {
    const OwnedMatrix table = OwnedMatrix::Random(numbers, dtype, 300, 65);
    std::vector<float> values(300 * 65);
    Dequantize(table.view(), values.data());
    const std::vector<int32_t> tokens = {0, 299, 7, 7, 128};
    std::vector<float> output(5 * 65);
    const EmbeddingArgs args = {
        .tokens = {tokens.data(), {5}}, .table = table.view(), .output = {output.data(), {5, 65}}};
    ASSERT_TRUE(Validate(args).ok());
    ASSERT_TRUE(MakeForm()->Embedding(args).ok());
    for (size_t t = 0; t < 5; ++t) {
      const auto begin = values.begin() + tokens[t] * 65;
      EXPECT_THAT(std::vector<float>(output.begin() + static_cast<int64_t>(t) * 65,
                                     output.begin() + static_cast<int64_t>(t + 1) * 65),
                  IsBitEqualTo(std::vector<float>(begin, begin + 65)));
    }
  }
}

TEST_P(RowOperationsTest, RmsNormMatchesTheReferenceInPlaceToo) {
  Numbers numbers(2);
  for (const int64_t size : {1, 63, 64, 65, 1500}) {
    for (const int64_t count : {0, 1, 20}) {
      const std::vector<float> input = numbers.Vector(count * size, -3, 3);
      const std::vector<float> weight = numbers.Vector(size);
      ExpectMatchesReference(
          [&](Backend& backend) {
            std::vector<float> values = input;
            const RmsNormArgs args = {.input = {values.data(), {count, size}},
                                      .weight = {weight.data(), {size}},
                                      .output = {values.data(), {count, size}}};
            TESSERA_CHECK_OK(Validate(args));
            TESSERA_CHECK_OK(backend.RmsNorm(args));
            return values;
          },
          1e-6F);
    }
  }
}

TEST_P(RowOperationsTest, RmsNormKeepsANonFiniteRowToItself) {
  Numbers numbers(3);
  std::vector<float> input = numbers.Vector(3 * 70);
  const std::vector<float> weight = numbers.Vector(70);
  const auto run = [&] {
    std::vector<float> output(3 * 70);
    TESSERA_CHECK_OK(MakeForm()->RmsNorm(
        {.input = {input.data(), {3, 70}}, .weight = {weight.data(), {70}}, .output = {output.data(), {3, 70}}}));
    return output;
  };
  const std::vector<float> clean = run();
  input[75] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> got = run();
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_TRUE(i / 70 == 1 ? std::isnan(got[i]) : got[i] == clean[i]) << i;
  }
}

TEST_P(RowOperationsTest, RmsNormOfARowWhoseSquaresOverflowIsNaNAndNotZero) {
  std::vector<float> values(70, 1e18F);
  const std::vector<float> weight(70, 1.0F);
  const auto run = [&](Backend& backend) {
    std::vector<float> output(70);
    TESSERA_CHECK_OK(backend.RmsNorm(
        {.input = {values.data(), {1, 70}}, .weight = {weight.data(), {70}}, .output = {output.data(), {1, 70}}}));
    return output[69];
  };
  for (const auto& backend : {MakeForm(), reference::MakeBackend()}) {
    values[3] = 1e18F;
    EXPECT_FLOAT_EQ(run(*backend), 1) << "large, but its squares fit";
    values[3] = 1e20F;
    EXPECT_TRUE(std::isnan(run(*backend)));
  }
}

TEST_P(RowOperationsTest, RopeMatchesTheReferenceInBothLayoutsFarOut) {
  Numbers numbers(4);
  const YarnParams yarn = {.factor = 40, .mscale = 1, .mscale_all_dim = 0.707};
  const std::vector<int32_t> positions = {0, 1, 4095, 32767, 131071, 163839};
  for (const bool interleaved : {true, false}) {
    for (const int dim : {2, 10, 64}) {
      const RopeFrequencies frequencies = MakeRopeFrequencies(dim, 10000, interleaved, &yarn);
      const std::vector<float> query = numbers.Vector(6 * 3 * (7 + dim));
      ExpectMatchesReference(
          [&](Backend& backend) {
            std::vector<float> values = query;
            const RopeArgs args = {.query = {values.data(), {6, 3, 7 + dim}},
                                   .positions = {positions.data(), {6}},
                                   .frequencies = &frequencies};
            TESSERA_CHECK_OK(Validate(args));
            TESSERA_CHECK_OK(backend.Rope(args));
            return values;
          },
          1e-6F);
    }
  }
}

TEST_P(RowOperationsTest, LatentWriteFillsItsSlotsOnlyAndMatchesTheReference) {
  Numbers numbers(5);
  const RopeFrequencies frequencies = MakeRopeFrequencies(10, 10000, true, nullptr);
  const std::vector<int32_t> positions = {5, 100000, 64};
  const std::vector<int64_t> slots = {0, 130, 63};
  const std::vector<float> compressed = numbers.Vector(3 * 43, -2, 2);
  const std::vector<float> weight = numbers.Vector(33);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto run = [&](Backend& backend) {
      Numbers cache_numbers(6);
      const OwnedCache cache(cache_numbers, dtype, 3, 33, 10);
      const LatentWriteArgs args = {.compressed = {compressed.data(), {3, 43}},
                                    .norm_weight = {weight.data(), {33}},
                                    .positions = {positions.data(), {3}},
                                    .slots = {slots.data(), {3}},
                                    .frequencies = &frequencies,
                                    .cache = cache.view()};
      TESSERA_CHECK_OK(Validate(args));
      TESSERA_CHECK_OK(backend.LatentWrite(args));
      std::vector<float> values(3 * 64 * 43);
      Dequantize({.data = cache.view().data, .dtype = dtype, .rows = 3 * 64, .cols = 43}, values.data());
      return values;
    };
    ExpectMatchesReference(run, dtype == DType::kF32 ? 1e-6F : 4e-3F);
  }
}

TEST_P(RowOperationsTest, CombineIsBitEqualToTheReference) {
  Numbers numbers(7);
  for (const DType rounding : {DType::kF32, DType::kBF16}) {
    for (const int64_t size : {1, 63, 130}) {
      const std::vector<float> contributions = numbers.Vector(11 * 6 * size);
      const std::vector<float> weights = numbers.Vector(11 * 6, 0, 1);
      const std::vector<float> before = numbers.Vector(11 * size);
      const auto run = [&](Backend& backend) {
        std::vector<float> output = before;
        const CombineArgs args = {.contributions = {contributions.data(), {11, 6, size}},
                                  .weights = {weights.data(), {11, 6}},
                                  .rounding = rounding,
                                  .output = {output.data(), {11, size}}};
        TESSERA_CHECK_OK(Validate(args));
        TESSERA_CHECK_OK(backend.Combine(args));
        return output;
      };
      EXPECT_THAT(run(*MakeForm()), IsBitEqualTo(run(*reference::MakeBackend())));
    }
  }
}

}  // namespace
}  // namespace tessera::cpu
