#include "worker/cache/slot_mapping.h"

#include "base/check.h"
#include "kernels/latent_cache.h"

namespace tessera {

int64_t BlocksFor(int64_t num_tokens) { return (num_tokens + kBlockTokens - 1) / kBlockTokens; }

void MapSlots(std::span<const BlockId> block_table, int64_t first_index, std::span<int64_t> slots) {
  const auto count = static_cast<int64_t>(slots.size());
  TESSERA_CHECK(first_index >= 0 && BlocksFor(first_index + count) <= static_cast<int64_t>(block_table.size()));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t index = first_index + i;
    const auto block = static_cast<size_t>(index / kBlockTokens);
    slots[static_cast<size_t>(i)] = int64_t{block_table[block]} * kBlockTokens + index % kBlockTokens;
  }
}

}  // namespace tessera
