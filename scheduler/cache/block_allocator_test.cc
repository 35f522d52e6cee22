#include "scheduler/cache/block_allocator.h"

#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(BlockAllocatorTest, HandsOutEachBlockOnce) {
  BlockAllocator allocator(3);
  std::vector<BlockId> table;
  ASSERT_TRUE(allocator.TryAllocate(2, table));
  ASSERT_TRUE(allocator.TryAllocate(1, table));
  EXPECT_THAT(table, ElementsAre(0, 1, 2));
  EXPECT_EQ(allocator.num_used(), 3);
}

TEST(BlockAllocatorTest, ChangesNothingWhenThereAreTooFew) {
  BlockAllocator allocator(3);
  std::vector<BlockId> table;
  EXPECT_FALSE(allocator.TryAllocate(4, table));
  EXPECT_THAT(table, IsEmpty());
  EXPECT_EQ(allocator.num_free(), 3);
  EXPECT_TRUE(allocator.TryAllocate(0, table));
  EXPECT_THAT(table, IsEmpty());
}

TEST(BlockAllocatorTest, ReusesTheBlockReleasedLongestAgoAndKeepsTheFirstOfATableLongest) {
  BlockAllocator allocator(4);
  std::vector<BlockId> early, late, next;
  ASSERT_TRUE(allocator.TryAllocate(1, early));
  ASSERT_TRUE(allocator.TryAllocate(3, late));
  allocator.Release(late);
  allocator.Release(early);
  ASSERT_TRUE(allocator.TryAllocate(4, next));
  EXPECT_THAT(next, ElementsAre(3, 2, 1, 0));
}

TEST(BlockAllocatorTest, HandsOutKeptBlocksLastTheOneReleasedLongestAgoFirst) {
  BlockAllocator allocator(4);
  std::vector<BlockId> table, next;
  ASSERT_TRUE(allocator.TryAllocate(3, table));
  for (const BlockId block : {0, 1}) allocator.Keep(block, true);
  allocator.Release(std::vector<BlockId>{1});
  allocator.Release(std::vector<BlockId>{0, 2});
  EXPECT_EQ(allocator.num_free(), 4);
  ASSERT_TRUE(allocator.TryAllocate(4, next));
  EXPECT_THAT(next, ElementsAre(3, 2, 1, 0));
  allocator.Release(next);
  next.clear();
  ASSERT_TRUE(allocator.TryAllocate(4, next));
  EXPECT_THAT(next, ElementsAre(0, 1, 2, 3)) << "a block that was handed out is not kept any more";
}

TEST(BlockAllocatorTest, SharesAKeptBlockAndFreesItWithItsLastReference) {
  BlockAllocator allocator(2);
  std::vector<BlockId> table;
  ASSERT_TRUE(allocator.TryAllocate(1, table));
  allocator.Keep(0, true);
  allocator.AddReference(0);
  allocator.Release(table);
  EXPECT_EQ(allocator.num_used(), 1);
  allocator.Release(table);
  EXPECT_EQ(allocator.num_used(), 0);
  allocator.AddReference(0);
  EXPECT_EQ(allocator.num_used(), 1);
  EXPECT_TRUE(allocator.IsReferenced(0));
  allocator.Release(table);
  allocator.Keep(0, false);
  EXPECT_EQ(allocator.num_free(), 2);
  std::vector<BlockId> both;
  EXPECT_TRUE(allocator.TryAllocate(2, both));
}

TEST(BlockAllocatorDeathTest, AbortsOnAReferenceToABlockWhoseContentsAreGone) {
  BlockAllocator allocator(2);
  EXPECT_DEATH(allocator.AddReference(1), "is_kept_");
}

TEST(BlockAllocatorDeathTest, AbortsOnABlockReleasedTwice) {
  BlockAllocator allocator(2);
  std::vector<BlockId> table;
  ASSERT_TRUE(allocator.TryAllocate(1, table));
  allocator.Release(table);
  EXPECT_DEATH(allocator.Release(table), "references > 0");
  EXPECT_DEATH(allocator.Release(std::vector<BlockId>{2}), "num_blocks");
}

TEST(BlockAllocatorTest, NeverGivesOneBlockToTwoOwners) {
  constexpr int kSeed = 11;
  std::mt19937 random(kSeed);
  BlockAllocator allocator(16);
  std::vector<std::vector<BlockId>> owners(5);
  for (int i = 0; i < 2000; ++i) {
    std::vector<BlockId>& owner = owners[random() % owners.size()];
    if (random() % 3 == 0) {
      allocator.Release(owner);
      owner.clear();
    } else {
      const auto before = owner.size();
      const int32_t count = static_cast<int32_t>(random() % 4);
      const bool enough = count <= allocator.num_free();
      ASSERT_EQ(allocator.TryAllocate(count, owner), enough);
      ASSERT_EQ(owner.size(), before + (enough ? static_cast<size_t>(count) : 0));
    }
    std::set<BlockId> taken;
    size_t total = 0;
    for (const auto& table : owners) {
      taken.insert(table.begin(), table.end());
      total += table.size();
    }
    ASSERT_EQ(taken.size(), total) << "seed " << kSeed << ", call " << i;
    ASSERT_EQ(allocator.num_used(), static_cast<int32_t>(total));
  }
}

}  // namespace
}  // namespace tessera
