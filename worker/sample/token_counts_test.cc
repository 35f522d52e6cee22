#include "worker/sample/token_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tessera {
namespace {

TEST(TokenCountsTest, RepetitionCountsPromptAndGeneratedTheOthersGeneratedOnly) {
  TokenCounts counts;
  counts.AddPrompt(std::vector<TokenId>{0, 1, 1});
  counts.AddGenerated(1);
  counts.AddGenerated(1);
  counts.AddGenerated(2);
  std::vector<float> logits = {2, 2, -2, 2};
  counts.Penalize({.repetition_penalty = 2, .frequency_penalty = 0.25F, .presence_penalty = 1}, logits);
  EXPECT_THAT(logits, testing::ElementsAre(1.0F,               // prompt only: 2 / 2
                                           1 - 2 * 0.25F - 1,  // twice generated
                                           -4 - 0.25F - 1,     // negative logits are multiplied
                                           2.0F));             // not there
}

TEST(TokenCountsTest, ExtremePenaltiesKeepLogitsFinite) {
  TokenCounts counts;
  counts.AddPrompt(std::vector<TokenId>{0, 1, 700});
  std::vector<float> logits = {5, -5};
  counts.Penalize({.repetition_penalty = 1e-38F}, logits);
  EXPECT_TRUE(std::isfinite(logits[0]));
  counts.Penalize({.repetition_penalty = 1e38F}, logits);
  EXPECT_TRUE(std::isfinite(logits[1]));
}

TEST(TokenCountsTest, AreNeededOnlyWithAPenalty) {
  EXPECT_FALSE(TokenCounts::Needed({}));
  EXPECT_TRUE(TokenCounts::Needed({.repetition_penalty = 1.1F}));
  EXPECT_TRUE(TokenCounts::Needed({.frequency_penalty = -1}));
  EXPECT_TRUE(TokenCounts::Needed({.presence_penalty = 0.5F}));
}

}  // namespace
}  // namespace tessera
