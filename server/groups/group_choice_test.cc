#include "server/groups/group_choice.h"

#include <vector>

#include "gtest/gtest.h"

namespace tessera {
namespace {

TEST(GroupChoiceTest, ACachedPromptWinsWhileItSavesMoreThanTheQueueCosts) {
  std::vector<GroupOffer> offers = {{.load = 3000, .num_tokens_found = 4096}, {.load = 0}};
  EXPECT_EQ(ChooseGroup(offers, 5000), 0U);
  offers[0].load = 4097;
  EXPECT_EQ(ChooseGroup(offers, 5000), 1U);
}

TEST(GroupChoiceTest, AVeryLongCachedPromptDoesNotOverrideALargeImbalance) {
  const std::vector<GroupOffer> offers = {{.load = 8193, .num_tokens_found = 100'000}, {.load = 0}};
  EXPECT_EQ(ChooseGroup(offers, 100'100), 1U);
  const std::vector<GroupOffer> busy = {{.load = 40'001, .num_tokens_found = 100'000}, {.load = 20'000}};
  EXPECT_EQ(ChooseGroup(busy, 100'100), 1U) << "more than twice the least";
}

TEST(GroupChoiceTest, AmongEqualsTheOneChosenLongestAgo) {
  const std::vector<GroupOffer> offers = {{.last_chosen = 7}, {.last_chosen = 3}, {.last_chosen = 5}};
  EXPECT_EQ(ChooseGroup(offers, 10), 1U);
}

TEST(GroupChoiceTest, LoadIsWorkForOneRank) {
  const EngineStatus status{.num_waiting = 2, .num_running = 6, .num_waiting_tokens = 1000};
  EXPECT_EQ(LoadOf(status, 1), 1000 + 8 * kRunningRequestTokens);
  EXPECT_EQ(LoadOf(status, 4), (1000 + 8 * kRunningRequestTokens) / 4);
  EXPECT_EQ(LoadOf(status, 0), LoadOf(status, 1)) << "a group that has not said how many it has";
}

}  // namespace
}  // namespace tessera
