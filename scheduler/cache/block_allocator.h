#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/ids.h"

namespace tessera {

// Counts the references to one rank's cache blocks. It knows ids, never device memory or tokens (PrefixCache does). A
// free block may be kept: its contents are worth something, so it is handed out after all others.
// Same calls, same ids: replay and property tests rely on it. Not thread-safe; the engine loop owns it.
class BlockAllocator {
 public:
  explicit BlockAllocator(int32_t num_blocks);  // Requires num_blocks > 0.

  // Appends `count` blocks, one reference each and not kept, or returns false and changes nothing: first those that
  // were not kept, then kept ones, each time the one released longest ago. O(count).
  [[nodiscard]] bool TryAllocate(int32_t count, std::vector<BlockId>& block_table);

  // One more reference. Requires: the block is referenced or kept. O(1).
  void AddReference(BlockId block);

  // Drops one reference of each block, last to first: the first blocks of a table hold a prompt's beginning, which is
  // the likeliest to be asked for again, so they stay free longest. Requires: every id is allocated. O(blocks.size()).
  void Release(std::span<const BlockId> blocks);

  // Whether the block is kept when it is free. A free block can only cease to be kept. O(1).
  void Keep(BlockId block, bool is_kept);

  bool IsReferenced(BlockId block) const { return references_[static_cast<size_t>(block)] > 0; }
  int32_t num_blocks() const { return static_cast<int32_t>(references_.size()); }
  int32_t num_free() const { return static_cast<int32_t>(free_.size()) + num_kept_free_; }
  int32_t num_used() const { return num_blocks() - num_free(); }

 private:
  // Kept free blocks form a ring, so that one can leave from the middle; the entry [num_blocks] is its head.
  struct Link {
    BlockId previous = 0;
    BlockId next = 0;
  };
  Link& LinkOf(BlockId block) { return kept_ring_[static_cast<size_t>(block)]; }
  void AppendToKept(BlockId block);
  void RemoveFromKept(BlockId block);

  std::vector<int32_t> references_;  // [num_blocks]; 0 exactly when the block is free
  std::vector<bool> is_kept_;        // [num_blocks]
  std::deque<BlockId> free_;         // not kept; front: released longest ago
  std::vector<Link> kept_ring_;      // [num_blocks + 1]; after the head: released longest ago
  int32_t num_kept_free_ = 0;
};

}  // namespace tessera
