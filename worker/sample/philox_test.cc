#include "worker/sample/philox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace tessera {
namespace {

using ::testing::ElementsAre;

// Known answers of the authors' Random123 library (kat_vectors, philox4x32 10).
TEST(PhiloxTest, GivesThePublishedAnswers) {
  EXPECT_THAT(Philox4x32({0, 0, 0, 0}, {0, 0}), ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_THAT(Philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(PhiloxTest, SeedsAndPositionsGiveDifferentNumbers) {
  std::set<double> numbers;
  for (uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{7}, uint64_t{1} << 32, ~uint64_t{0}}) {
    for (int64_t position : {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{163839}, int64_t{1} << 32}) {
      const double number = UniformAt(seed, position);
      EXPECT_GE(number, 0);
      EXPECT_LT(number, 1);
      numbers.insert(number);
    }
  }
  EXPECT_EQ(numbers.size(), 25U);
}

TEST(PhiloxTest, NumbersAreSpreadEvenly) {
  int below_a_quarter = 0;
  double sum = 0;
  constexpr int kCount = 20'000;
  for (int position = 0; position < kCount; ++position) {
    const double number = UniformAt(42, position);
    sum += number;
    if (number < 0.25) ++below_a_quarter;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.01);
  EXPECT_NEAR(below_a_quarter, kCount / 4, 250);  // 4 standard deviations
}

}  // namespace
}  // namespace tessera
