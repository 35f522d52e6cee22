#include "server/groups/prefix_index.h"

#include <numeric>

#include "gtest/gtest.h"

namespace tessera {
namespace {

std::vector<TokenId> Prompt(size_t size, TokenId first = 0) {
  std::vector<TokenId> prompt(size);
  std::iota(prompt.begin(), prompt.end(), first);
  return prompt;
}

TEST(PrefixIndexTest, KeysAreOfWholeBlocksAndDependOnAllBefore) {
  EXPECT_EQ(PromptKeys(Prompt(63)).size(), 0U);
  EXPECT_EQ(PromptKeys(Prompt(64)).size(), 1U);
  EXPECT_EQ(PromptKeys(Prompt(127)).size(), 1U);
  std::vector<TokenId> one = Prompt(192);
  std::vector<TokenId> other = one;
  other[0] = 999;
  const auto keys = PromptKeys(one);
  const auto other_keys = PromptKeys(other);
  for (size_t i = 0; i < 3; ++i) EXPECT_NE(keys[i], other_keys[i]);
}

TEST(PrefixIndexTest, FindsTheLongestSharedPrefix) {
  PrefixIndex index(100);
  index.Insert(PromptKeys(Prompt(300)));
  EXPECT_EQ(index.NumTokensFound(PromptKeys(Prompt(300))), 256);
  std::vector<TokenId> half = Prompt(300);
  half[130] = 7777;
  EXPECT_EQ(index.NumTokensFound(PromptKeys(half)), 128);
  EXPECT_EQ(index.NumTokensFound(PromptKeys(Prompt(300, 1))), 0);
  index.Clear();
  EXPECT_EQ(index.NumTokensFound(PromptKeys(Prompt(300))), 0);
}

TEST(PrefixIndexTest, ForgetsWhatWasUsedLongestAgoAndTheLastBlocksFirst) {
  PrefixIndex index(4);
  index.Insert(PromptKeys(Prompt(192, 0)));     // 3 blocks
  index.Insert(PromptKeys(Prompt(192, 1000)));  // 3 more: of the first prompt one is left, its first
  EXPECT_EQ(index.size(), 4U);
  EXPECT_EQ(index.NumTokensFound(PromptKeys(Prompt(192, 0))), 64);
  EXPECT_EQ(index.NumTokensFound(PromptKeys(Prompt(192, 1000))), 192);
  index.Insert(PromptKeys(Prompt(64, 0)));
  index.Insert(PromptKeys(Prompt(64, 2000)));
  EXPECT_EQ(index.NumTokensFound(PromptKeys(Prompt(192, 0))), 64) << "used again just now";
}

}  // namespace
}  // namespace tessera
