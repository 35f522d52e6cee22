#include "worker/cache/paged_latent_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/status_matchers.h"
#include "kernels/bfloat16.h"
#include "worker/cache/slot_mapping.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

PagedLatentCacheConfig SmallConfig(DType dtype, bool poison) {
  return {.num_layers = 2, .num_blocks = 3, .kv_lora_rank = 4, .qk_rope_head_dim = 2, .dtype = dtype, .poison = poison};
}

TEST(PagedLatentCacheTest, ASlotIsADifferentRowInEveryLayer) {
  const auto cache = PagedLatentCache::Create(SmallConfig(DType::kF32, false));
  ASSERT_THAT(cache, IsOk());
  EXPECT_EQ((*cache)->config().bytes_per_block(), 2 * 64 * 6 * 4);
  const LatentCacheView first = (*cache)->Layer(0);
  const LatentCacheView second = (*cache)->Layer(1);
  EXPECT_EQ(static_cast<char*>(second.data) - static_cast<char*>(first.data), 3 * 64 * 6 * 4);
  EXPECT_EQ(first.num_blocks, 3);
  EXPECT_EQ(*static_cast<float*>(second.Row(3 * 64 - 1)), 0.0F);
}

TEST(PagedLatentCacheTest, PoisonMakesEveryUnwrittenValueNaN) {
  const auto cache = PagedLatentCache::Create(SmallConfig(DType::kBF16, true));
  ASSERT_THAT(cache, IsOk());
  auto* row = static_cast<BFloat16*>((*cache)->Layer(1).Row(70));
  EXPECT_TRUE(std::isnan(static_cast<float>(row[5])));
  row[5] = BFloat16(1.0F);
  (*cache)->PoisonBlock(0);
  EXPECT_EQ(static_cast<float>(row[5]), 1.0F) << "slot 70 lies in block 1";
  (*cache)->PoisonBlock(1);
  EXPECT_TRUE(std::isnan(static_cast<float>(row[5])));
}

TEST(PagedLatentCacheTest, RefusesToHoldNoBlock) {
  PagedLatentCacheConfig config = SmallConfig(DType::kBF16, false);
  config.num_blocks = 0;
  EXPECT_THAT(PagedLatentCache::Create(config), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least 1")));
}

// The sanitizers' allocators end the program when asked for as much.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(PagedLatentCacheTest, NamesTheSizeThatDoesNotFit) {
  PagedLatentCacheConfig config = SmallConfig(DType::kBF16, false);
  config.num_layers = 100'000;
  config.num_blocks = 2'000'000'000;
  EXPECT_THAT(PagedLatentCache::Create(config),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("2000000000 blocks")));
}
#endif

TEST(SlotMappingTest, FollowsTheBlockTableAcrossBlocks) {
  const std::vector<BlockId> table = {5, 2};
  std::vector<int64_t> slots(3);
  MapSlots(table, 62, slots);
  EXPECT_THAT(slots, ElementsAre(5 * 64 + 62, 5 * 64 + 63, 2 * 64));
}

TEST(SlotMappingTest, RoundsUpToWholeBlocks) {
  EXPECT_EQ(BlocksFor(0), 0);
  EXPECT_EQ(BlocksFor(1), 1);
  EXPECT_EQ(BlocksFor(64), 1);
  EXPECT_EQ(BlocksFor(65), 2);
}

}  // namespace
}  // namespace tessera
