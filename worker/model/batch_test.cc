#include "worker/model/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(BatchTest, GeneratedTokensComeFirstAndEachTokenFollowsItsForm) {
  const std::vector<TokenId> first = {10, 11, 12};  // indices 62 … 64; the prompt has 64 tokens
  const std::vector<TokenId> second = {20, 21};     // all prompt
  const std::vector<BlockId> first_table = {7, 3};
  const std::vector<BlockId> second_table = {5};
  BatchBuilder builder(8, 4);
  builder.Add({.tokens = first, .first_index = 62, .num_prompt = 64, .block_table = first_table});
  builder.Add({.tokens = second, .num_prompt = 9, .block_table = second_table});
  const Batch batch = builder.Build();
  EXPECT_THAT(batch.tokens, ElementsAre(12, 10, 11, 20, 21));
  EXPECT_THAT(batch.positions, ElementsAre(64, 62, 63, 0, 1));
  EXPECT_THAT(batch.slots, ElementsAre(3 * 64, 7 * 64 + 62, 7 * 64 + 63, 5 * 64, 5 * 64 + 1));
  EXPECT_THAT(batch.num_cached, ElementsAre(65));
  ASSERT_THAT(batch.prefill, SizeIs(2));
  EXPECT_EQ(batch.prefill[0].first_row, 1);
  EXPECT_EQ(batch.prefill[0].num_rows, 2);
  EXPECT_EQ(batch.prefill[0].first_position, 62);
  EXPECT_EQ(batch.prefill[1].first_row, 3);
  EXPECT_THAT(
      std::vector<int32_t>({builder.RowOf(0, 0), builder.RowOf(0, 1), builder.RowOf(0, 2), builder.RowOf(1, 1)}),
      ElementsAre(1, 2, 0, 4));
}

TEST(BatchTest, PositionsMayDifferFromThePlaceInTheCache) {
  const std::vector<TokenId> tokens = {1, 2};
  const std::vector<BlockId> table = {0};
  BatchBuilder builder(2, 1);
  builder.Add({.tokens = tokens, .num_prompt = 2, .block_table = table, .first_position = 100'000});
  const Batch batch = builder.Build();
  EXPECT_THAT(batch.positions, ElementsAre(100'000, 100'001));
  EXPECT_THAT(batch.slots, ElementsAre(0, 1));
}

TEST(BatchTest, IsEmptyAfterClear) {
  const std::vector<TokenId> tokens = {1};
  const std::vector<BlockId> table = {0};
  BatchBuilder builder(1, 1);
  builder.Add({.tokens = tokens, .num_prompt = 1, .block_table = table});
  builder.Build();
  builder.Clear();
  const Batch batch = builder.Build();
  EXPECT_EQ(batch.num_tokens(), 0);
  EXPECT_THAT(batch.prefill, IsEmpty());
}

}  // namespace
}  // namespace tessera
