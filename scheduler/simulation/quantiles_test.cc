#include "scheduler/simulation/quantiles.h"

#include "gtest/gtest.h"

namespace tessera {
namespace {

TEST(QuantilesTest, AnswersWithinOnePercent) {
  Quantiles quantiles;
  for (int i = 1000; i >= 1; --i) quantiles.Add(absl::Milliseconds(i));
  for (const double q : {0.01, 0.5, 0.9, 0.99}) {
    EXPECT_NEAR(absl::ToDoubleMilliseconds(quantiles.At(q)), 1000 * q, 10 * q) << q;
  }
  EXPECT_EQ(quantiles.At(1), absl::Seconds(1));
  EXPECT_EQ(quantiles.max(), absl::Seconds(1));
  EXPECT_EQ(quantiles.mean(), absl::Microseconds(500'500));
}

TEST(QuantilesTest, CountsWithWeights) {
  Quantiles quantiles;
  quantiles.Add(absl::Milliseconds(1), 99);
  quantiles.Add(absl::Milliseconds(100), 1);
  EXPECT_EQ(quantiles.count(), 100);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(quantiles.At(0.99)), 1, 0.01);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(quantiles.At(0.995)), 100, 1);
}

TEST(QuantilesTest, HoldsNothingZeroAndTooMuch) {
  Quantiles quantiles;
  EXPECT_EQ(quantiles.At(0.5), absl::ZeroDuration());
  EXPECT_EQ(quantiles.mean(), absl::ZeroDuration());
  quantiles.Add(absl::ZeroDuration());
  EXPECT_EQ(quantiles.At(1), absl::ZeroDuration());
  quantiles.Add(absl::Hours(1000));
  EXPECT_GE(quantiles.At(1), absl::Hours(24));
  EXPECT_LE(quantiles.At(1), absl::Hours(1000));
}

}  // namespace
}  // namespace tessera
