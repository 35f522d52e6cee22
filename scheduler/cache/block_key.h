#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace tessera {

// Names a full block of prompt tokens together with all tokens before it. Two different texts may have one key, which
// is rare and harmless: whoever finds a block by its key compares the tokens too.
struct BlockKey {
  uint64_t low = 0;
  uint64_t high = 0;

  friend bool operator==(const BlockKey&, const BlockKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const BlockKey& key) {
    return H::combine(std::move(h), key.low, key.high);
  }
};

struct BlockKeyOptions {
  int32_t block_tokens = 0;
  uint64_t salt = 0;       // part of every key, so that nobody who does not know it can aim at equal keys
  int32_t num_bits = 128;  // 1 … 128; fewer are for tests that want equal keys of different texts
};

// The keys of the prompt's full blocks: XXH3-128 of (the parent block's key, the block's tokens), seeded with the salt.
std::vector<BlockKey> BlockKeys(std::span<const TokenId> prompt, const BlockKeyOptions& options);

}  // namespace tessera
