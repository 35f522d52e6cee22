#include "server/groups/prefix_index.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"

namespace tessera {

std::vector<uint64_t> PromptKeys(std::span<const TokenId> prompt) {
  std::vector<uint64_t> keys;
  keys.reserve(prompt.size() / kPrefixBlockTokens);
  uint64_t parent = 0;
  for (; prompt.size() >= kPrefixBlockTokens; prompt = prompt.subspan(kPrefixBlockTokens)) {
    parent = XXH3_64bits_withSeed(prompt.data(), kPrefixBlockTokens * sizeof(TokenId), parent);
    keys.push_back(parent);
  }
  return keys;
}

PrefixIndex::PrefixIndex(size_t num_keys_max) : num_keys_max_(num_keys_max) { TESSERA_CHECK(num_keys_max > 0); }

int64_t PrefixIndex::NumTokensFound(std::span<const uint64_t> keys) const {
  size_t count = 0;
  while (count < keys.size() && found_.contains(keys[count])) ++count;
  return static_cast<int64_t>(count) * kPrefixBlockTokens;
}

void PrefixIndex::Insert(std::span<const uint64_t> keys) {
  // From the last block to the first, so that the first ones, which more prompts share, are forgotten last.
  for (size_t i = keys.size(); i > 0; --i) {
    const uint64_t key = keys[i - 1];
    if (const auto found = found_.find(key); found != found_.end()) {
      by_use_.splice(by_use_.begin(), by_use_, found->second);
      continue;
    }
    by_use_.push_front(key);
    found_.emplace(key, by_use_.begin());
  }
  while (by_use_.size() > num_keys_max_) {
    found_.erase(by_use_.back());
    by_use_.pop_back();
  }
}

void PrefixIndex::Clear() {
  by_use_.clear();
  found_.clear();
}

}  // namespace tessera
