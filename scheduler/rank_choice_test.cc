#include "scheduler/rank_choice.h"

#include <optional>
#include <vector>

#include "gtest/gtest.h"

namespace tessera {
namespace {

using Offers = std::vector<std::optional<RankOffer>>;

constexpr int64_t kCacheTokens = 80'000;

TEST(RankChoiceTest, TakesTheLeastLoadedThenTheOneWithFewerSequencesThenTheFirst) {
  EXPECT_EQ(ChooseRank(Offers{{{.load = 9}}, {{.load = 5}}, {{.load = 7}}}, kCacheTokens), 1U);
  EXPECT_EQ(ChooseRank(Offers{{{.load = 5, .num_running = 2}}, {{.load = 5, .num_running = 1}}}, kCacheTokens), 1U);
  EXPECT_EQ(ChooseRank(Offers{{{.load = 5}}, {{.load = 5}}}, kCacheTokens), 0U);
}

TEST(RankChoiceTest, PassesOverRanksWithoutRoom) {
  EXPECT_EQ(ChooseRank(Offers{std::nullopt, {{.load = 500}}, std::nullopt}, kCacheTokens), 1U);
  EXPECT_EQ(ChooseRank(Offers{std::nullopt, std::nullopt}, kCacheTokens), std::nullopt);
}

TEST(RankChoiceTest, PrefersTheLongestHitAsLongAsItCostsNoMoreThanItSaves) {
  const auto with_load = [](int64_t load) {
    return Offers{
        {{.load = 100}}, {{.load = load, .num_cached_tokens = 640}}, {{.load = 100, .num_cached_tokens = 64}}};
  };
  EXPECT_EQ(ChooseRank(with_load(100), kCacheTokens), 1U);
  EXPECT_EQ(ChooseRank(with_load(740), kCacheTokens), 1U);
  EXPECT_EQ(ChooseRank(with_load(741), kCacheTokens), 2U);
}

TEST(RankChoiceTest, BoundsTheImbalanceThatALongHitMayCause) {
  const auto with_load = [](int64_t load) {
    return Offers{{{.load = load, .num_cached_tokens = 60'000}}, {{.load = 1000}}};
  };
  EXPECT_EQ(ChooseRank(with_load(11'000), kCacheTokens), 0U);
  EXPECT_EQ(ChooseRank(with_load(11'001), kCacheTokens), 1U);
}

TEST(RankChoiceTest, BoundsTheSequencesThatPileUpWhereAPrefixIsKnown) {
  const auto with_running = [](int32_t hit, int32_t other) {
    return Offers{{{.load = 1000, .num_running = hit, .num_cached_tokens = 4000}},
                  {{.load = 900, .num_running = other}}};
  };
  EXPECT_EQ(ChooseRank(with_running(4, 0), kCacheTokens), 0U);
  EXPECT_EQ(ChooseRank(with_running(5, 0), kCacheTokens), 1U);
  EXPECT_EQ(ChooseRank(with_running(14, 5), kCacheTokens), 0U);
  EXPECT_EQ(ChooseRank(with_running(15, 5), kCacheTokens), 1U);
}

}  // namespace
}  // namespace tessera
