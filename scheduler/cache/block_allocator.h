#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/ids.h"

namespace tessera {

// Counts the references to one rank's cache blocks. It knows ids, never device memory or tokens.
// Same calls, same ids: replay and property tests rely on it. Not thread-safe; the engine loop owns it.
class BlockAllocator {
 public:
  explicit BlockAllocator(int32_t num_blocks);  // Requires num_blocks > 0.

  // Appends `count` blocks, one reference each, oldest-released first; or returns false and changes nothing. O(count).
  [[nodiscard]] bool TryAllocate(int32_t count, std::vector<BlockId>& block_table);

  // Drops one reference of each block, last to first: the first blocks of a table hold a prompt's beginning, which is
  // the likeliest to be asked for again, so they stay free longest. Requires: every id is allocated. O(blocks.size()).
  void Release(std::span<const BlockId> blocks);

  int32_t num_blocks() const { return static_cast<int32_t>(references_.size()); }
  int32_t num_free() const { return static_cast<int32_t>(free_.size()); }
  int32_t num_used() const { return num_blocks() - num_free(); }

 private:
  std::vector<int32_t> references_;  // [num_blocks]; 0 exactly when the id is in free_
  std::deque<BlockId> free_;         // front: released longest ago
};

}  // namespace tessera
