#include "worker/sample/logprobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace tessera {
namespace {

std::vector<TokenId> TokensOf(const PositionLogprobs& logprobs) {
  std::vector<TokenId> tokens;
  for (const TokenLogprob& entry : logprobs.top) tokens.push_back(entry.token);
  return tokens;
}

TEST(LogprobsTest, AreThoseOfTheRawLogits) {
  const std::vector<float> logits = {std::log(1.0F), std::log(3.0F), std::log(4.0F)};
  const PositionLogprobs result = LogprobsOf(logits, 3, 0, 2);
  EXPECT_EQ(result.token.token, 0);
  EXPECT_NEAR(result.token.logprob, std::log(1.0 / 8), 1e-6);
  EXPECT_THAT(TokensOf(result), testing::ElementsAre(2, 1));
  EXPECT_NEAR(result.top[0].logprob, std::log(0.5), 1e-6);
}

TEST(LogprobsTest, ListTiesByRisingIdAndNeverPaddingRows) {
  const std::vector<float> logits = {1, 2, 2, 2, 9, 9};
  EXPECT_THAT(TokensOf(LogprobsOf(logits, 4, 0, 3)), testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(TokensOf(LogprobsOf(logits, 4, 0, 20)), testing::ElementsAre(1, 2, 3, 0));
  EXPECT_THAT(TokensOf(LogprobsOf(logits, 4, 0, 0)), testing::IsEmpty());
}

TEST(LogprobsTest, StayFiniteAndNeverAboveZero) {
  const std::vector<float> logits = {3e38F, -3e38F, 0};
  const PositionLogprobs result = LogprobsOf(logits, 3, 1, 3);
  EXPECT_EQ(result.token.logprob, kLogprobFloor);
  for (const TokenLogprob& entry : result.top) {
    EXPECT_LE(entry.logprob, 0);
    EXPECT_GE(entry.logprob, kLogprobFloor);
  }
}

TEST(LogprobsTest, FindsEveryKindOfNumberThatIsNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits(300, 1.0F);
    EXPECT_TRUE(AllFinite(logits));
    logits[299] = bad;
    EXPECT_FALSE(AllFinite(logits));
  }
}

}  // namespace
}  // namespace tessera
