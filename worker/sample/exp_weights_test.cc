#include "worker/sample/exp_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace tessera {
namespace {

TEST(ExpWeightsTest, AgreesWithTheExponentialFunction) {
  EXPECT_EQ(ExpOfNonPositive(0), 1.0F);
  for (float x = 0; x > -87; x -= 0.0137F) {
    const double exact = std::exp(static_cast<double>(x));
    EXPECT_NEAR(static_cast<double>(ExpOfNonPositive(x)) / exact, 1, 2.5e-7) << x;
  }
  EXPECT_EQ(ExpOfNonPositive(-88), 0.0F);
  EXPECT_EQ(ExpOfNonPositive(-std::numeric_limits<float>::infinity()), 0.0F);
}

TEST(ExpWeightsTest, SumsEverySizeOfRow) {
  for (const size_t size : {size_t{1}, size_t{255}, size_t{256}, size_t{257}, size_t{1000}}) {
    std::vector<float> logits(size);
    for (size_t i = 0; i < size; ++i) logits[i] = -0.01F * static_cast<float>(i);
    std::vector<float> weights(size);
    std::vector<double> sums((size + kWeightBlock - 1) / kWeightBlock);
    const double total = ExpWeights(logits, 0, 2, weights, sums);
    double wanted = 0;
    for (const float logit : logits) wanted += std::exp(2.0 * static_cast<double>(logit));
    EXPECT_NEAR(total / wanted, 1, 1e-6) << size;
    EXPECT_NEAR(SumOfExp(logits, 0), ExpWeights(logits, 0, 1, weights, sums), 0) << "both sum in the same order";
  }
}

TEST(ExpWeightsTest, FindsTheTokenAtACumulativeWeight) {
  std::vector<float> logits(600, -std::numeric_limits<float>::infinity());
  logits[3] = 0;
  logits[300] = 0;
  logits[599] = 0;
  std::vector<float> weights(600);
  std::vector<double> sums(3);
  const double total = ExpWeights(logits, 0, 1, weights, sums);
  EXPECT_EQ(total, 3);
  EXPECT_EQ(FindCumulative(weights, sums, 0), 3U);
  EXPECT_EQ(FindCumulative(weights, sums, 0.999), 3U);
  EXPECT_EQ(FindCumulative(weights, sums, 1), 300U);
  EXPECT_EQ(FindCumulative(weights, sums, 2.5), 599U);
  EXPECT_EQ(FindCumulative(weights, sums, 3), 599U) << "rounding may bring the target to the total";
}

}  // namespace
}  // namespace tessera
