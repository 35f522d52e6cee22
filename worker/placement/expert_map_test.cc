#include "worker/placement/expert_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Slot = ExpertMap::Slot;

TEST(ExpertMapTest, EvenGivesEachRankARangeOfExperts) {
  const ExpertMap map = ExpertMap::Even(8, 4);
  EXPECT_EQ(map.Choose(5, 0, 3), (Slot{.rank = 2, .index = 1}));
  EXPECT_THAT(map.experts_of(2), ElementsAre(4, 5));
  EXPECT_EQ(map.slots_per_rank(), 2);
}

TEST(ExpertMapTest, ATokenGoesToTheCopyOnItsOwnRank) {
  const auto map = ExpertMap::FromSlots(std::vector<int32_t>{0, 1, 1, 2}, 3, 2);
  ASSERT_THAT(map, IsOk());
  for (int64_t token = 0; token < 4; ++token) {
    EXPECT_EQ(map->Choose(1, 0, token), (Slot{.rank = 0, .index = 1}));
    EXPECT_EQ(map->Choose(1, 1, token), (Slot{.rank = 1, .index = 0}));
  }
}

TEST(ExpertMapTest, OtherwiseTheCopiesTakeTurns) {
  const auto map = ExpertMap::FromSlots(std::vector<int32_t>{0, 1, 2, 1}, 3, 4);
  ASSERT_THAT(map, IsOk());
  std::set<int32_t> ranks;
  for (int64_t token = 0; token < 2; ++token) ranks.insert(map->Choose(1, 0, token).rank);
  EXPECT_THAT(ranks, ElementsAre(1, 3));
  EXPECT_EQ(map->Choose(1, 0, 6), map->Choose(1, 0, 8)) << "the choice must be a function of the token";
}

TEST(ExpertMapTest, RefusesListsThatAreNoPlacement) {
  const auto status = [](std::vector<int32_t> slots, int32_t num_ranks) {
    return ExpertMap::FromSlots(slots, 3, num_ranks).status();
  };
  EXPECT_THAT(status({0, 1, 2}, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 slots")));
  EXPECT_THAT(status({}, 1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 slots")));
  EXPECT_THAT(status({0, 1, 3, 2}, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("slot 2 holds expert 3")));
  EXPECT_THAT(status({0, 1, -1, 2}, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expert -1")));
  EXPECT_THAT(status({0, 1, 1, 0}, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expert 2")));
}

}  // namespace
}  // namespace tessera
