#include "worker/checkpoint/check_finite.h"

#include <limits>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/status_matchers.h"
#include "gmock/gmock.h"

namespace tessera {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

struct FormatCase {
  std::string name;
  DType dtype;
  std::vector<uint32_t> bad, good;  // bit patterns: not finite; the largest finite ones
};

class CheckFiniteTest : public testing::TestWithParam<FormatCase> {
 protected:
  // A matrix of one bit pattern with another at one place.
  absl::Status Check(int64_t rows, int64_t cols, int64_t place, uint32_t bits) {
    const int64_t item = SizeOf(GetParam().dtype);
    std::string bytes(static_cast<size_t>(rows * cols * item), '\x31');
    std::memcpy(bytes.data() + place * item, &bits, static_cast<size_t>(item));
    const std::vector<float> scales(64, 1.0F);
    const bool is_fp8 = GetParam().dtype == DType::kF8E4M3;
    return CheckFinite({.data = bytes.data(),
                        .dtype = GetParam().dtype,
                        .rows = rows,
                        .cols = cols,
                        .scale = is_fp8 ? scales.data() : nullptr},
                       "w");
  }
};

TEST_P(CheckFiniteTest, FindsEachBadPatternAtEveryPlace) {
  for (const uint32_t bits : GetParam().bad) {
    for (int64_t place = 0; place < 21; ++place) {
      EXPECT_THAT(Check(3, 7, place, bits),
                  StatusIs(StatusCode::kInvalidArgument,
                           AllOf(HasSubstr("'w'"), HasSubstr(absl::StrFormat("[%d, %d]", place / 7, place % 7)))));
    }
  }
}

TEST_P(CheckFiniteTest, FindsABadNumberFarInALargeMatrix) {
  EXPECT_THAT(Check(300, 301, 90'000, GetParam().bad[0]),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("[299, 1]")));
  EXPECT_THAT(Check(300, 301, 90'000, GetParam().good[0]), IsOk());
}

TEST_P(CheckFiniteTest, TakesTheLargestFiniteNumbers) {
  for (const uint32_t bits : GetParam().good) EXPECT_THAT(Check(3, 7, 4, bits), IsOk());
}

INSTANTIATE_TEST_SUITE_P(
    Formats, CheckFiniteTest,
    testing::Values(FormatCase{"F32",
                               DType::kF32,
                               {0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF},
                               {0x7F7FFFFF, 0xFF7FFFFF, 0}},
                    FormatCase{
                        "BF16", DType::kBF16, {0x7F80, 0xFF80, 0x7FC0, 0x7F81, 0xFFFF}, {0x7F7F, 0xFF7F, 0x8000}},
                    FormatCase{"F16", DType::kF16, {0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFFFF}, {0x7BFF, 0xFBFF, 0x03FF}},
                    FormatCase{"F8E4M3", DType::kF8E4M3, {0x7F, 0xFF}, {0x7E, 0xFE, 0x80}}),
    [](auto& c) { return c.param.name; });

TEST(CheckScalesTest, RefusesScalesThatAreNotPositiveFiniteNumbers) {
  const std::vector<char> data(12, 0x38);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {0.0F, -1.0F, infinity, std::numeric_limits<float>::quiet_NaN(), 1e38F}) {
    const std::vector<float> scales = {1, 1, 1, bad};
    const MatrixView view = {.data = data.data(),
                             .dtype = DType::kF8E4M3,
                             .rows = 4,
                             .cols = 3,
                             .scale = scales.data(),
                             .block_rows = 2,
                             .block_cols = 2};
    EXPECT_THAT(CheckFinite(view, "w"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("block [1, 1]"))) << bad;
    EXPECT_THAT(CheckFinite(view.Rows(0, 2), "w"), IsOk()) << "that scale is not of these rows";
    EXPECT_FALSE(CheckFinite(view.Rows(1, 2), "w").ok()) << "rows 1 and 2 lie in both row blocks";
  }
}

TEST(CheckVectorTest, NamesValueAndPlace) {
  const std::vector<float> values = {1, 2, -std::numeric_limits<float>::infinity()};
  EXPECT_THAT(CheckFinite(values, "bias"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("'bias' holds -inf at [2]")));
  EXPECT_THAT(CheckFinite(std::span(values).first(2), "bias"), IsOk());
  EXPECT_THAT(CheckFinite(std::span<const float>(), "bias"), IsOk());
}

}  // namespace
}  // namespace tessera
