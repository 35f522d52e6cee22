#include "worker/placement/expert_placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<double> kLoad0 = {90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86};
const std::vector<double> kLoad1 = {20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27};

// Outputs of the published algorithm (github.com/deepseek-ai/EPLB) for two layers.
struct PublishedCase {
  std::string name;
  PlacementShape shape;
  std::vector<int32_t> layer0, layer1;
};

class PublishedPlacementTest : public testing::TestWithParam<PublishedCase> {};

TEST_P(PublishedPlacementTest, IsReproducedExactly) {
  const auto layer0 = PlaceExperts(kLoad0, GetParam().shape);
  const auto layer1 = PlaceExperts(kLoad1, GetParam().shape);
  ASSERT_THAT(layer0, IsOk());
  ASSERT_THAT(layer1, IsOk());
  EXPECT_EQ(*layer0, GetParam().layer0);
  EXPECT_EQ(*layer1, GetParam().layer1);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PublishedPlacementTest,
    testing::Values(
        PublishedCase{"FourGroupsOnTwoNodes",
                      {.n_routed_experts = 12, .num_slots = 16, .n_group = 4, .num_nodes = 2, .num_ranks = 8},
                      {5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1},
                      {7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1}},
        PublishedCase{"AllGroupsOnOneNode",
                      {.n_routed_experts = 12, .num_slots = 16, .n_group = 4, .num_nodes = 1, .num_ranks = 8},
                      {10, 6, 10, 7, 0, 2, 11, 4, 5, 9, 5, 4, 8, 3, 1, 1},
                      {1, 10, 2, 4, 5, 11, 5, 0, 6, 7, 6, 3, 8, 8, 9, 7}},
        PublishedCase{"NodesThatDoNotDivideTheGroups",
                      {.n_routed_experts = 12, .num_slots = 18, .n_group = 4, .num_nodes = 3, .num_ranks = 6},
                      {11, 4, 2, 5, 10, 7, 5, 9, 6, 8, 10, 0, 1, 10, 4, 1, 3, 0},
                      {5, 1, 2, 5, 1, 2, 6, 7, 4, 6, 3, 11, 8, 9, 10, 8, 7, 0}}),
    [](const auto& test) { return test.param.name; });

TEST(PackEvenlyTest, PutsTheHeaviestFirstIntoTheLightestPackThatHasRoom) {
  const Packing packing = PackEvenly(std::vector<double>{1, 9, 5, 5}, 2);
  EXPECT_THAT(packing.pack, ElementsAre(0, 0, 1, 1));  // 9 | 5, then 5 to the lighter, 1 where room is left
  EXPECT_THAT(packing.place, ElementsAre(1, 0, 0, 1));
}

TEST(PackEvenlyTest, TiesGoToTheLowerIndex) {
  EXPECT_THAT(PackEvenly(std::vector<double>{0, 0, 0, 0}, 2).pack, ElementsAre(0, 0, 1, 1));
}

TEST(PackEvenlyTest, OneItemAPackStaysInOrder) {
  EXPECT_THAT(PackEvenly(std::vector<double>{1, 9, 5}, 3).pack, ElementsAre(0, 1, 2));
}

TEST(ReplicateTest, CopiesTheItemWithTheLargestWeightPerCopy) {
  EXPECT_THAT(Replicate(std::vector<double>{2, 9, 4}, 6), ElementsAre(0, 1, 2, 1, 1, 2));
}

TEST(ReplicateTest, WithoutLoadTheFirstItemIsCopied) {
  EXPECT_THAT(Replicate(std::vector<double>{0, 0}, 4), ElementsAre(0, 1, 0, 0));
}

TEST(PlaceExpertsTest, EveryExpertHasASlotAndSkewedLoadIsEvenedOut) {
  std::vector<double> load(256);
  for (size_t e = 0; e < load.size(); ++e) load[e] = 1000.0 / static_cast<double>(1 + (e * 37) % 256);
  for (const int32_t num_ranks : {8, 32}) {
    const auto placed =
        PlaceExperts(load, {.n_routed_experts = 256, .num_slots = 288, .n_group = 8, .num_ranks = num_ranks});
    ASSERT_THAT(placed, IsOk());
    for (int32_t expert = 0; expert < 256; ++expert) EXPECT_THAT(*placed, testing::Contains(expert));
    std::vector<int32_t> in_order(256);
    std::iota(in_order.begin(), in_order.end(), 0);
    EXPECT_GT(Balancedness(load, *placed, num_ranks), 0.9);
    EXPECT_LT(Balancedness(load, in_order, num_ranks), 0.5) << "the load of this test is not skewed";
  }
}

TEST(PlaceExpertsTest, RefusesShapesThatCannotBe) {
  const auto status = [](const PlacementShape& shape) {
    return PlaceExperts(std::vector<double>(12, 1.0), shape).status();
  };
  EXPECT_THAT(status({.n_routed_experts = 12, .num_slots = 10, .num_ranks = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("10 slots")));
  EXPECT_THAT(status({.n_routed_experts = 12, .num_slots = 13, .num_ranks = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("13 slots")));
  EXPECT_THAT(status({.n_routed_experts = 12, .num_slots = 12, .num_nodes = 4, .num_ranks = 6}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4 nodes")));
  EXPECT_THAT(status({.n_routed_experts = 12, .num_slots = 12, .n_group = 5, .num_ranks = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("5 groups")));
  EXPECT_THAT(status({.n_routed_experts = 13, .num_slots = 14, .num_ranks = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("load of 12 experts")));
  EXPECT_THAT(status({.n_routed_experts = 0}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 experts")));
}

TEST(BalancednessTest, IsMeanOverMaximumOfTheRanks) {
  EXPECT_DOUBLE_EQ(Balancedness(std::vector<double>{3, 1}, std::vector<int32_t>{0, 1}, 2), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(Balancedness(std::vector<double>{0, 0}, std::vector<int32_t>{0, 1}, 2), 1.0);
}

}  // namespace
}  // namespace tessera
