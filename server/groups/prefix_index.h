#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"

namespace tessera {

// Tokens of one key of a prompt: those of a cache block, so that what counts here as found can be found there.
inline constexpr int64_t kPrefixBlockTokens = 64;

// One key for each whole block of a prompt; a key stands for the block and all before it. Equal keys of different
// texts cost a detour and nothing else, so 64 bits are enough.
std::vector<uint64_t> PromptKeys(std::span<const TokenId> prompt);

// Which prompts a group has seen lately, as keys of their blocks. Bounded: what was used longest ago is forgotten.
// Not thread-safe.
class PrefixIndex {
 public:
  explicit PrefixIndex(size_t num_keys_max);  // requires num_keys_max > 0

  // How many of a prompt's first tokens the group has probably in its cache. O(keys found).
  int64_t NumTokensFound(std::span<const uint64_t> keys) const;

  void Insert(std::span<const uint64_t> keys);
  void Clear();
  size_t size() const { return found_.size(); }

 private:
  const size_t num_keys_max_;
  std::list<uint64_t> by_use_;  // front: last
  absl::flat_hash_map<uint64_t, std::list<uint64_t>::iterator> found_;
};

}  // namespace tessera
