#include "scheduler/simulation/group_choice.h"

#include <vector>

#include "gtest/gtest.h"

namespace tessera {
namespace {

TEST(GroupChoiceTest, RoundRobinTakesTurns) {
  GroupChoice choice(GroupPolicy::kRoundRobin, 3);
  choice.AddLoad(0, 1000);
  std::vector<int32_t> groups;
  for (int i = 0; i < 5; ++i) groups.push_back(choice.Choose(/*prefix=*/1));
  EXPECT_EQ(groups, (std::vector<int32_t>{0, 1, 2, 0, 1}));
}

TEST(GroupChoiceTest, LeastLoadTakesTheEmptiestAndTheFirstOfEqualOnes) {
  GroupChoice choice(GroupPolicy::kLeastLoad, 3);
  EXPECT_EQ(choice.Choose(-1), 0);
  choice.AddLoad(0, 10);
  choice.AddLoad(1, 5);
  EXPECT_EQ(choice.Choose(-1), 2);
  choice.AddLoad(2, 7);
  EXPECT_EQ(choice.Choose(-1), 1);
  choice.AddLoad(0, -10);
  EXPECT_EQ(choice.Choose(-1), 0);
}

TEST(GroupChoiceTest, APrefixComesBackToItsGroup) {
  GroupChoice choice(GroupPolicy::kPrefix, 2);
  EXPECT_EQ(choice.Choose(/*prefix=*/7), 0);
  choice.AddLoad(0, 1000);
  EXPECT_EQ(choice.Choose(/*prefix=*/8), 1);
  choice.AddLoad(1, 2000);
  EXPECT_EQ(choice.Choose(7), 0);
  EXPECT_EQ(choice.Choose(8), 1);
  EXPECT_EQ(choice.Choose(-1), 0) << "without a prefix the load decides";
}

TEST(GroupChoiceTest, OnePrefixForAllDoesNotPileUpOnOneGroup) {
  GroupChoice choice(GroupPolicy::kPrefix, 4);
  std::vector<int64_t> load(4);
  for (int i = 0; i < 480; ++i) {
    const int32_t group = choice.Choose(/*prefix=*/1);
    choice.AddLoad(group, 4096);
    load[static_cast<size_t>(group)] += 4096;
  }
  for (const int64_t one : load) {
    EXPECT_GT(one, 480 * 4096 / 8);
    EXPECT_LT(one, 480 * 4096 / 2);
  }
}

TEST(GroupChoiceTest, ParsesItsNames) {
  EXPECT_EQ(ParseGroupPolicy("prefix"), GroupPolicy::kPrefix);
  EXPECT_EQ(ParseGroupPolicy("least-load"), GroupPolicy::kLeastLoad);
  EXPECT_EQ(ParseGroupPolicy("round-robin"), GroupPolicy::kRoundRobin);
  EXPECT_EQ(ParseGroupPolicy("best"), std::nullopt);
}

}  // namespace
}  // namespace tessera
