#include "scheduler/cache/prefix_cache.h"

#include <map>
#include <numeric>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int32_t kBlockTokens = 4;

// A prompt with its keys; both stay where they are.
struct Prompt {
  explicit Prompt(std::vector<TokenId> all_tokens, int32_t num_bits = 128)
      : tokens(std::move(all_tokens)),
        keys(BlockKeys(tokens, {.block_tokens = kBlockTokens, .salt = 3, .num_bits = num_bits})) {}

  PrefixQuery query() const { return {tokens, keys}; }
  int32_t num_blocks() const { return static_cast<int32_t>(keys.size()); }

  std::vector<TokenId> tokens;
  std::vector<BlockKey> keys;
};

std::vector<TokenId> Count(size_t num_tokens, TokenId first = 0) {
  std::vector<TokenId> tokens(num_tokens);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// Computes the prompt's blocks in a table of its own, lets others find them, and ends.
std::vector<BlockId> Compute(PrefixCache& cache, const Prompt& prompt) {
  std::vector<BlockId> table;
  EXPECT_TRUE(cache.TryAllocate(prompt.num_blocks(), table));
  cache.Register(prompt.query(), {}, prompt.num_blocks(), table);
  cache.Release(table);
  return table;
}

int32_t NumFound(const PrefixCache& cache, const Prompt& prompt) {
  return cache.Find(prompt.query(), prompt.num_blocks()).position.num_blocks;
}

TEST(BlockKeyTest, DependsOnEveryTokenUpToTheBlocksEndAndOnTheSalt) {
  const std::vector<TokenId> tokens = Count(11);
  const std::vector<BlockKey> keys = BlockKeys(tokens, {.block_tokens = 4});
  ASSERT_THAT(keys, SizeIs(2)) << "the last three tokens fill no block";
  EXPECT_FALSE(keys[0] == keys[1]);
  for (size_t i = 0; i < 8; ++i) {
    std::vector<TokenId> changed = tokens;
    changed[i] += 1;
    const std::vector<BlockKey> others = BlockKeys(changed, {.block_tokens = 4});
    EXPECT_EQ(others[0] == keys[0], i >= 4) << i;
    EXPECT_FALSE(others[1] == keys[1]) << i;
  }
  EXPECT_FALSE(BlockKeys(tokens, {.block_tokens = 4, .salt = 1})[0] == keys[0]);
  EXPECT_TRUE(BlockKeys(tokens, {.block_tokens = 4})[0] == keys[0]) << "the same in every process";
}

TEST(BlockKeyTest, KeepsAsManyBitsAsAskedFor) {
  for (const int32_t num_bits : {1, 4, 63, 64, 65, 127}) {
    for (const BlockKey& key : BlockKeys(Count(400), {.block_tokens = 4, .num_bits = num_bits})) {
      EXPECT_EQ(num_bits < 64 ? key.low >> num_bits : 0, 0U);
      EXPECT_EQ(num_bits <= 64 ? key.high : key.high >> (num_bits - 64), 0U);
    }
  }
}

TEST(PrefixCacheTest, SharesTheBlocksOfAPromptThatBeginsAlike) {
  PrefixCache cache(8, kBlockTokens);
  const Prompt first(Count(13));
  std::vector<TokenId> tokens = Count(9);
  tokens.insert(tokens.end(), {100, 101, 102});
  const Prompt second(tokens);  // the third block differs
  const std::vector<BlockId> computed = Compute(cache, first);
  EXPECT_EQ(cache.num_used(), 0);
  std::vector<BlockId> table;
  const PrefixCache::Match match = cache.Share(second.query(), second.num_blocks(), table);
  EXPECT_EQ(match.position.num_blocks, 2);
  EXPECT_EQ(match.num_unreferenced, 2);
  EXPECT_FALSE(match.has_collided);
  EXPECT_THAT(table, ElementsAre(computed[0], computed[1]));
  EXPECT_EQ(cache.num_used(), 2);
  EXPECT_EQ(cache.num_free(), 6);
  std::vector<BlockId> third_table;
  EXPECT_EQ(cache.Share(second.query(), second.num_blocks(), third_table).num_unreferenced, 0);
  EXPECT_EQ(cache.num_used(), 2) << "the same blocks";
  cache.Release(table);
  EXPECT_EQ(cache.num_used(), 2);
  cache.Release(third_table);
  EXPECT_EQ(cache.num_used(), 0);
}

TEST(PrefixCacheTest, FindsNoMoreThanAskedFor) {
  PrefixCache cache(8, kBlockTokens);
  const Prompt prompt(Count(12));
  Compute(cache, prompt);
  std::vector<BlockId> table;
  EXPECT_EQ(cache.Share(prompt.query(), 2, table).position.num_blocks, 2);
  EXPECT_THAT(table, SizeIs(2));
  EXPECT_EQ(cache.Find(prompt.query(), 99).position.num_blocks, 3);
}

TEST(PrefixCacheTest, FindsNothingWhenOneTokenOfTheFirstBlockDiffers) {
  PrefixCache cache(8, kBlockTokens);
  Compute(cache, Prompt(Count(12)));
  std::vector<TokenId> tokens = Count(12);
  tokens[1] = 77;
  EXPECT_EQ(NumFound(cache, Prompt(tokens)), 0);
}

TEST(PrefixCacheTest, GoesOnRegisteringAfterASharedBeginning) {
  PrefixCache cache(8, kBlockTokens);
  Compute(cache, Prompt(Count(8)));
  const Prompt longer(Count(16));
  std::vector<BlockId> table;
  PrefixPosition position = cache.Share(longer.query(), 4, table).position;
  ASSERT_TRUE(cache.TryAllocate(2, table));
  position = cache.Register(longer.query(), position, 3, table);
  EXPECT_EQ(NumFound(cache, longer), 3);
  position = cache.Register(longer.query(), position, 4, table);
  EXPECT_EQ(position.num_blocks, 4);
  EXPECT_EQ(NumFound(cache, longer), 4);
}

TEST(PrefixCacheTest, KeepsTheFirstOfTwoEqualBlocksComputedAtTheSameTime) {
  PrefixCache cache(8, kBlockTokens);
  const Prompt prompt(Count(8));
  std::vector<BlockId> one, two;
  ASSERT_TRUE(cache.TryAllocate(2, one));
  ASSERT_TRUE(cache.TryAllocate(2, two));
  cache.Register(prompt.query(), {}, 2, one);
  EXPECT_EQ(cache.Register(prompt.query(), {}, 2, two).num_blocks, 2);
  std::vector<BlockId> found;
  cache.Share(prompt.query(), 2, found);
  EXPECT_EQ(found, one);
  EXPECT_EQ(cache.num_known(), 2U);
}

TEST(PrefixCacheTest, EvictsUnknownBlocksFirstThenTheOnesReleasedLongestAgoEndsBeforeBeginnings) {
  PrefixCache cache(5, kBlockTokens);
  const Prompt old(Count(8)), recent(Count(8, 500));
  Compute(cache, old);
  Compute(cache, recent);  // one block has never been used
  std::vector<BlockId> table;
  ASSERT_TRUE(cache.TryAllocate(1, table));
  EXPECT_EQ(NumFound(cache, old) + NumFound(cache, recent), 4);
  ASSERT_TRUE(cache.TryAllocate(1, table));
  EXPECT_EQ(NumFound(cache, old), 1) << "its end went";
  ASSERT_TRUE(cache.TryAllocate(1, table));
  EXPECT_EQ(NumFound(cache, old), 0);
  EXPECT_EQ(NumFound(cache, recent), 2);
  ASSERT_TRUE(cache.TryAllocate(2, table));
  EXPECT_EQ(cache.num_known(), 0U);
  EXPECT_FALSE(cache.TryAllocate(1, table));
}

TEST(PrefixCacheTest, NeverEvictsWhatASequenceHolds) {
  PrefixCache cache(4, kBlockTokens);
  const Prompt prompt(Count(8));
  Compute(cache, prompt);
  std::vector<BlockId> table, others;
  cache.Share(prompt.query(), 2, table);
  ASSERT_TRUE(cache.TryAllocate(2, others));
  EXPECT_FALSE(cache.TryAllocate(1, others));
  EXPECT_EQ(NumFound(cache, prompt), 2);
}

TEST(PrefixCacheTest, FindsNoBlockWhosePredecessorWasComputedAnew) {
  PrefixCache cache(6, kBlockTokens);
  const Prompt shorter(Count(4)), longer(Count(8));
  std::vector<BlockId> one, two, rest;
  ASSERT_TRUE(cache.TryAllocate(1, one));
  ASSERT_TRUE(cache.TryAllocate(2, two));
  cache.Register(shorter.query(), {}, 1, one);
  cache.Register(longer.query(), {}, 2, two);  // its second block follows the other table's first
  cache.Release(one);
  ASSERT_TRUE(cache.TryAllocate(4, rest));  // evicts it
  EXPECT_EQ(NumFound(cache, longer), 0);
  cache.Release(rest);
  Compute(cache, shorter);
  EXPECT_EQ(NumFound(cache, longer), 1) << "the old second block was computed after another block";
  EXPECT_FALSE(cache.Find(longer.query(), 2).has_collided);
  Compute(cache, longer);
  EXPECT_EQ(NumFound(cache, longer), 2) << "the new one takes its place";
  cache.Release(two);
  EXPECT_EQ(cache.num_used(), 0);
}

TEST(PrefixCacheTest, ForgetsABadPromptWhoeverComputedIt) {
  PrefixCache cache(8, kBlockTokens);
  const Prompt bad(Count(12));
  std::vector<TokenId> tokens = Count(8);
  tokens.insert(tokens.end(), {90, 91, 92, 93});
  const Prompt other(tokens);
  Compute(cache, bad);
  std::vector<BlockId> table;
  const PrefixPosition position = cache.Share(other.query(), 3, table).position;
  ASSERT_TRUE(cache.TryAllocate(1, table));
  cache.Register(other.query(), position, 3, table);
  cache.Forget(bad.query());
  EXPECT_EQ(NumFound(cache, bad), 0);
  EXPECT_EQ(NumFound(cache, other), 0) << "its last block follows bad ones";
  cache.Release(table);
  EXPECT_EQ(cache.num_used(), 0);
  Compute(cache, other);
  EXPECT_EQ(NumFound(cache, other), 3);
}

TEST(PrefixCacheTest, TakesNoPartWithoutKeys) {
  PrefixCache cache(4, kBlockTokens);
  const std::vector<TokenId> tokens = Count(8);
  const PrefixQuery query{tokens, {}};
  std::vector<BlockId> table;
  EXPECT_EQ(cache.Share(query, 0, table).position.num_blocks, 0);
  EXPECT_THAT(table, IsEmpty());
  cache.Forget(query);
}

TEST(PrefixCacheDeathTest, AbortsOnARegisteredBlockBeyondTheTable) {
  PrefixCache cache(4, kBlockTokens);
  const Prompt prompt(Count(8));
  EXPECT_DEATH(cache.Register(prompt.query(), {}, 1, {}), "block_table");
}

// Case 35: with any number of key bits a block is found only for exactly the text that it was computed from. What a
// block holds is tracked beside the cache: all tokens up to its end, from when it was computed.
class PrefixCachePropertyTest : public testing::TestWithParam<int32_t> {};

TEST_P(PrefixCachePropertyTest, FindsABlockOnlyForTheTextThatItHolds) {
  constexpr int kSeed = 5;
  std::mt19937 random(kSeed);
  PrefixCache cache(24, kBlockTokens);
  std::map<BlockId, std::vector<TokenId>> contents;
  struct Running {
    Prompt prompt;
    std::vector<BlockId> table;
  };
  std::vector<Running> running;
  int64_t num_found = 0, num_collisions = 0;
  for (int i = 0; i < 3000; ++i) {
    if (!running.empty() && random() % 2 == 0) {
      const auto victim = running.begin() + static_cast<std::ptrdiff_t>(random() % running.size());
      if (random() % 50 == 0) cache.Forget(victim->prompt.query());
      cache.Release(victim->table);
      running.erase(victim);
    } else {
      std::vector<TokenId> tokens;
      for (size_t block = 1 + random() % 5; block > 0; --block)
        tokens.resize(tokens.size() + 4, static_cast<TokenId>(random() % 3));
      Running next{Prompt(tokens, GetParam()), {}};
      const Prompt& prompt = next.prompt;
      const PrefixCache::Match match = cache.Share(prompt.query(), prompt.num_blocks(), next.table);
      num_found += match.position.num_blocks;
      num_collisions += match.has_collided ? 1 : 0;
      for (size_t block = 0; block < next.table.size(); ++block) {
        const std::vector<TokenId> upto(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(block + 1) * 4);
        ASSERT_EQ(contents[next.table[block]], upto) << "seed " << kSeed << ", call " << i;
      }
      const size_t num_shared = next.table.size();
      if (!cache.TryAllocate(prompt.num_blocks() - match.position.num_blocks, next.table)) {
        cache.Release(next.table);
        continue;
      }
      for (size_t block = num_shared; block < next.table.size(); ++block) {
        contents[next.table[block]].assign(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(block + 1) * 4);
      }
      cache.Register(prompt.query(), match.position, prompt.num_blocks(), next.table);
      running.push_back(std::move(next));
    }
    std::map<BlockId, int> holders;
    for (const Running& one : running) {
      for (const BlockId block : one.table) ++holders[block];
    }
    ASSERT_EQ(cache.num_used(), static_cast<int32_t>(holders.size())) << "seed " << kSeed << ", call " << i;
    ASSERT_EQ(cache.num_used() + cache.num_free(), 24);
  }
  EXPECT_GT(num_found, 100);
  EXPECT_EQ(num_collisions > 0, GetParam() < 16);
}

INSTANTIATE_TEST_SUITE_P(KeyBits, PrefixCachePropertyTest, testing::Values(1, 4, 8, 128));

}  // namespace
}  // namespace tessera
