#include "scheduler/cache/block_key.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace tessera {
namespace {

uint64_t Mask(int32_t num_bits) { return num_bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << std::max(num_bits, 0)) - 1; }

}  // namespace

std::vector<BlockKey> BlockKeys(std::span<const TokenId> prompt, const BlockKeyOptions& options) {
  TESSERA_CHECK(options.block_tokens > 0);
  const auto block_tokens = static_cast<size_t>(options.block_tokens);
  const size_t tokens_bytes = block_tokens * sizeof(TokenId);
  std::vector<unsigned char> hashed(sizeof(BlockKey) + tokens_bytes);
  std::vector<BlockKey> keys(prompt.size() / block_tokens);
  BlockKey parent;
  for (size_t i = 0; i < keys.size(); ++i) {
    std::memcpy(hashed.data(), &parent, sizeof(parent));
    std::memcpy(hashed.data() + sizeof(parent), prompt.data() + i * block_tokens, tokens_bytes);
    const XXH128_hash_t hash = XXH3_128bits_withSeed(hashed.data(), hashed.size(), options.salt);
    keys[i] = {hash.low64 & Mask(options.num_bits), hash.high64 & Mask(options.num_bits - 64)};
    parent = keys[i];
  }
  return keys;
}

}  // namespace tessera
