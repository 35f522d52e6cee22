#include "worker/sample/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;

TokenId SampleAt(const std::vector<float>& logits, const SamplingParams& params, int64_t position = 0) {
  Sampler sampler(static_cast<int32_t>(logits.size()), static_cast<int32_t>(logits.size()));
  return *sampler.Sample(logits, {.params = &params, .position = position});
}

TEST(SamplerTest, GreedyTakesTheLowestIdOfTheLargest) {
  EXPECT_EQ(SampleAt({1, 5, 3, 5}, {.temperature = 0}), 1);
  EXPECT_EQ(SampleAt({1, 5, 3, 5}, {.temperature = 5, .top_k = 1}), 1);
  EXPECT_EQ(SampleAt({-1, -5}, {.temperature = 1e-40F}), 0);
}

TEST(SamplerTest, DrawsWithTheProbabilitiesOfTheLogits) {
  const std::vector<float> logits = {std::log(1.0F), std::log(2.0F), std::log(5.0F)};
  std::vector<int> drawn(3);
  std::vector<int> drawn_flat(3);
  constexpr int kDraws = 8000;
  for (int position = 0; position < kDraws; ++position) {
    ++drawn[static_cast<size_t>(SampleAt(logits, {.temperature = 1, .seed = 3}, position))];
    ++drawn_flat[static_cast<size_t>(SampleAt(logits, {.temperature = 100, .seed = 3}, position))];
  }
  EXPECT_NEAR(drawn[0], kDraws / 8, 120);  // 4 standard deviations
  EXPECT_NEAR(drawn[1], kDraws / 4, 155);
  for (const int count : drawn_flat) EXPECT_NEAR(count, kDraws / 3, 200);
}

TEST(SamplerTest, SameSeedAndPositionGiveTheSameTokenOthersDiffer) {
  const std::vector<float> logits(1000, 0.0F);
  std::set<TokenId> tokens;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    tokens.insert(SampleAt(logits, {.seed = seed}, 5));
    EXPECT_EQ(SampleAt(logits, {.seed = seed}, 5), SampleAt(logits, {.seed = seed}, 5));
  }
  EXPECT_GE(tokens.size(), 7U) << "n choices of one prompt must not be the same";
}

// Frozen answers: a change of the generator or of the draw breaks every promise made with a seed.
TEST(SamplerTest, KeepsTheTokensOfEarlierVersions) {
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 97) * 0.05F;
  std::vector<TokenId> plain;
  std::vector<TokenId> filtered;
  for (int64_t position = 0; position < 5; ++position) {
    plain.push_back(SampleAt(logits, {.seed = 1234}, position));
    filtered.push_back(SampleAt(logits, {.temperature = 0.7F, .top_k = 100, .top_p = 0.9F, .seed = 1234}, position));
  }
  EXPECT_THAT(plain, testing::ElementsAre(168, 649, 277, 736, 92));
  EXPECT_THAT(filtered, testing::ElementsAre(187, 670, 286, 678, 95));
}

TEST(SamplerTest, BiasAndPenaltiesComeBeforeTheChoice) {
  EXPECT_EQ(SampleAt({1, 5}, {.temperature = 0, .logit_bias = {{0, 100}}}), 0);
  EXPECT_EQ(SampleAt({1, 5}, {.temperature = 0, .logit_bias = {{1, -100}}}), 0);
  TokenCounts counts;
  counts.AddGenerated(1);
  const SamplingParams params{.temperature = 0, .presence_penalty = 2, .logit_bias = {{0, 2.5F}}};
  Sampler sampler(2, 2);
  const std::vector<float> logits = {1, 5};
  EXPECT_EQ(*sampler.Sample(logits, {.params = &params, .counts = &counts}), 0);
  EXPECT_EQ(*sampler.Sample(logits, {.params = &params}), 1);
}

TEST(SamplerTest, NeverSamplesBannedTokensOrPaddingRows) {
  Sampler sampler(5, 3);
  const std::vector<float> logits = {1, 9, 3, 50, 50};
  const std::vector<TokenId> banned = {1, 4};
  const SamplingParams greedy{.temperature = 0};
  EXPECT_EQ(*sampler.Sample(logits, {.params = &greedy}), 1);
  EXPECT_EQ(*sampler.Sample(logits, {.params = &greedy, .banned = banned}), 2);
  const SamplingParams hot{.temperature = 100, .logit_bias = {{3, 100}}};
  for (int64_t position = 0; position < 200; ++position) {
    const TokenId token = *sampler.Sample(logits, {.params = &hot, .banned = banned, .position = position});
    EXPECT_TRUE(token == 0 || token == 2) << token;
  }
}

TEST(SamplerTest, SaysWhenNothingIsLeft) {
  Sampler sampler(2, 2);
  const std::vector<float> logits = {1, 2};
  const std::vector<TokenId> banned = {0, 1};
  const SamplingParams params;
  EXPECT_THAT(sampler.Sample(logits, {.params = &params, .banned = banned}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("min_tokens")));
}

TEST(SamplerTest, ANumberThatIsNotFiniteIsAnErrorAndNotAToken) {
  Sampler sampler(4, 3);
  const SamplingParams greedy{.temperature = 0};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (size_t place = 0; place < 4; ++place) {
      std::vector<float> logits = {1, 2, 3, 4};
      logits[place] = bad;
      EXPECT_THAT(sampler.Sample(logits, {.params = &greedy, .position = 17}),
                  StatusIs(absl::StatusCode::kInternal, HasSubstr("position 17")));
    }
  }
}

}  // namespace
}  // namespace tessera
