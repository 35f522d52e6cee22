#include "worker/placement/expert_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace tessera {
namespace {

using ::testing::ElementsAre;

TEST(ExpertLoadTest, CountsTokensByLayerAndExpert) {
  ExpertLoad load(2, 3);
  load.Add(0, std::vector<int32_t>{0, 2, 2});
  load.Add(1, std::vector<int32_t>{1});
  load.Add(0, std::vector<int32_t>{2});
  EXPECT_THAT(load.layer(0), ElementsAre(1, 0, 3));
  EXPECT_THAT(load.counts(), ElementsAre(1, 0, 3, 0, 1, 0));
  load.Clear();
  EXPECT_THAT(load.layer(0), ElementsAre(0, 0, 0));
}

TEST(AverageLoadTest, TheFirstIntervalCountsWhollyLaterOnesByTheirWeight) {
  AverageLoad average(1, 2, 0.25);
  average.Add(std::vector<int64_t>{4, 0});
  EXPECT_THAT(average.layer(0), ElementsAre(4, 0));
  average.Add(std::vector<int64_t>{0, 4});
  EXPECT_THAT(average.layer(0), ElementsAre(3, 1));
}

}  // namespace
}  // namespace tessera
