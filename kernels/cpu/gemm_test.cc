#include "kernels/gemm.h"

#include <limits>

#include "kernels/cpu/forms.h"
#include "kernels/problems.h"
#include "kernels/reference/reference_backend.h"

namespace tessera::cpu {
namespace {

struct Weight {
  DType dtype;
  Precision precision;
};
constexpr Weight kWeights[] = {
    {DType::kF32, Precision::kF32},     {DType::kBF16, Precision::kF32}, {DType::kF8E4M3, Precision::kF32},
    {DType::kBF16, Precision::kBF16},   {DType::kF32, Precision::kBF16}, {DType::kF16, Precision::kBF16},
    {DType::kF8E4M3, Precision::kBF16},
};

class GemmTest : public EveryFormTest {
 protected:
  void ExpectMatchesReference(const MatrixView& matrix, Precision precision, const std::vector<float>& input) {
    SCOPED_TRACE(testing::Message() << "N " << matrix.rows << " K " << matrix.cols << " values " << input.size()
                                    << " dtype " << static_cast<int>(matrix.dtype) << " precision "
                                    << static_cast<int>(precision));
    const auto reference = reference::MakeBackend();
    const auto form = MakeForm();
    EXPECT_THAT(RunGemm(*form, *PackOrDie(*form, matrix, precision), input),
                IsCloseTo(RunGemm(*reference, *PackOrDie(*reference, matrix, precision), input), 2e-5F));
  }
};
INSTANTIATE_TEST_SUITE_P(Forms, GemmTest, kEveryForm, FormName);

TEST_P(GemmTest, MatchesTheReferenceAtOddSizesInEveryPrecision) {
  Numbers numbers(1);
  for (const Weight& weight : kWeights) {
    for (const int64_t n : {1, 63, 64, 65, 130}) {
      for (const int64_t k : {1, 2, 63, 129, 257}) {
        const OwnedMatrix matrix = OwnedMatrix::Random(numbers, weight.dtype, n, k);
        for (const int64_t m : {0, 1, 7, 65})
          ExpectMatchesReference(matrix.view(), weight.precision, numbers.Vector(m * k));
      }
    }
  }
}

TEST_P(GemmTest, ScalesFp8WhereBlocksDoNotDivideTheMatrix) {
  Numbers numbers(2);
  for (const int64_t n : {576, 192, 130, 1}) {
    for (const int64_t k : {576, 192, 130, 1}) {
      for (const auto& [block_rows, block_cols] : {std::pair(128, 128), std::pair(64, 128), std::pair(3, 5)}) {
        const OwnedMatrix matrix = OwnedMatrix::Random(numbers, DType::kF8E4M3, n, k, block_rows, block_cols);
        ExpectMatchesReference(matrix.view(), Precision::kBF16, numbers.Vector(3 * k));
      }
    }
  }
}

TEST_P(GemmTest, ACutInsideAScaleBlockGivesTheRowsOfTheWholeMatrix) {
  Numbers numbers(3);
  const int64_t k = 300;
  const OwnedMatrix matrix = OwnedMatrix::Random(numbers, DType::kF8E4M3, 576, k);
  const auto form = MakeForm();
  const std::vector<float> input = numbers.Vector(k);
  const std::vector<float> whole = RunGemm(*form, *PackOrDie(*form, matrix.view(), Precision::kBF16), input);
  for (const auto& [begin, count] : {std::pair(0, 72), std::pair(72, 72), std::pair(100, 57), std::pair(575, 1)}) {
    const MatrixView cut = matrix.view().Rows(begin, 576 - begin).Rows(0, count);
    EXPECT_THAT(RunGemm(*form, *PackOrDie(*form, cut, Precision::kBF16), input),
                IsBitEqualTo(std::vector<float>(whole.begin() + begin, whole.begin() + begin + count)))
        << "rows from " << begin;
  }
}

TEST_P(GemmTest, ARowAloneEqualsTheRowInABatchOfAnySize) {
  Numbers numbers(4);
  for (const Weight& weight : kWeights) {
    const int64_t n = 70;
    const int64_t k = 333;
    const OwnedMatrix matrix = OwnedMatrix::Random(numbers, weight.dtype, n, k);
    const auto form = MakeForm();
    const auto packed = PackOrDie(*form, matrix.view(), weight.precision);
    const std::vector<float> input = numbers.Vector(130 * k);
    const std::vector<float> whole = RunGemm(*form, *packed, input);
    for (int64_t m = 1; m < 130; ++m) {
      const std::vector<float> last(input.begin() + (m - 1) * k, input.begin() + m * k);
      ASSERT_THAT(RunGemm(*form, *packed, last),
                  IsBitEqualTo(std::vector<float>(whole.begin() + (m - 1) * n, whole.begin() + m * n)));
      const std::vector<float> first(input.begin(), input.begin() + m * k);
      ASSERT_THAT(RunGemm(*form, *packed, first),
                  IsBitEqualTo(std::vector<float>(whole.begin(), whole.begin() + m * n)));
    }
  }
}

TEST_P(GemmTest, TheNumberOfThreadsDoesNotShow) {
  Numbers numbers(5);
  const OwnedMatrix matrix = OwnedMatrix::Random(numbers, DType::kBF16, 1000, 200);
  const std::vector<float> input = numbers.Vector(100 * 200);
  const auto one = MakeForm(1);
  const auto three = MakeForm(3);
  EXPECT_THAT(RunGemm(*three, *PackOrDie(*three, matrix.view(), Precision::kBF16), input),
              IsBitEqualTo(RunGemm(*one, *PackOrDie(*one, matrix.view(), Precision::kBF16), input)));
}

TEST_P(GemmTest, AccumulateAddsToWhatTheOutputHolds) {
  Numbers numbers(6);
  for (const Weight& weight : kWeights) {
    const int64_t n = 65;
    const int64_t k = 300;
    const int64_t m = 9;
    const OwnedMatrix matrix = OwnedMatrix::Random(numbers, weight.dtype, n, k);
    const auto form = MakeForm();
    const auto packed = PackOrDie(*form, matrix.view(), weight.precision);
    const std::vector<float> input = numbers.Vector(m * k);
    std::vector<float> wanted = RunGemm(*form, *packed, input);
    std::vector<float> output = numbers.Vector(m * n);
    for (size_t i = 0; i < output.size(); ++i) wanted[i] += output[i];
    ASSERT_TRUE(form->Gemm({.input = {input.data(), {m, k}},
                            .weight = packed.get(),
                            .output = {output.data(), {m, n}},
                            .accumulate = true})
                    .ok());
    EXPECT_THAT(output, IsCloseTo(wanted, 2e-5F));
  }
}

TEST_P(GemmTest, ANonFiniteRowSpoilsItselfOnly) {
  Numbers numbers(7);
  for (const Weight& weight : kWeights) {
    const int64_t n = 65;
    const int64_t k = 129;
    const OwnedMatrix matrix = OwnedMatrix::Random(numbers, weight.dtype, n, k);
    const auto form = MakeForm();
    const auto packed = PackOrDie(*form, matrix.view(), weight.precision);
    std::vector<float> input = numbers.Vector(9 * k);
    std::vector<float> wanted = RunGemm(*form, *packed, input);
    input[4 * k + 3] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> got = RunGemm(*form, *packed, input);
    for (int64_t i = 4 * n; i < 5 * n; ++i) {
      EXPECT_TRUE(std::isnan(got[static_cast<size_t>(i)]));
      got[static_cast<size_t>(i)] = wanted[static_cast<size_t>(i)] = 0;
    }
    EXPECT_THAT(got, IsBitEqualTo(wanted));
  }
}

TEST_P(GemmTest, ANaNByteInAnFp8WeightStaysNaN) {
  Numbers numbers(8);
  OwnedMatrix matrix = OwnedMatrix::Random(numbers, DType::kF8E4M3, 2, 64);
  matrix.bytes()[64 + 5] = 0xFF;
  const auto form = MakeForm();
  const std::vector<float> got = RunGemm(*form, *PackOrDie(*form, matrix.view(), Precision::kBF16), numbers.Vector(64));
  EXPECT_FALSE(std::isnan(got[0]));
  EXPECT_TRUE(std::isnan(got[1]));
}

}  // namespace
}  // namespace tessera::cpu
