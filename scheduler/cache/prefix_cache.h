#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"
#include "scheduler/cache/block_allocator.h"
#include "scheduler/cache/block_key.h"

namespace tessera {

// A prompt as the cache sees it: its tokens and the keys of its full blocks (none: it takes no part in sharing).
struct PrefixQuery {
  std::span<const TokenId> tokens;
  std::span<const BlockKey> keys;
};

// How far a prompt's blocks are in the cache.
struct PrefixPosition {
  int32_t num_blocks = 0;
  BlockId block = -1;  // the last of them, with the number under which it was registered
  uint64_t registration = 0;
};

// One rank's cache blocks. Full blocks of prompt tokens are found by their contents, so that prompts that begin alike
// share them; when no sequence holds such a block any more it stays until its room is needed, those released longest
// ago and the ends of prompts going first. A block is found only if its own tokens are equal and the block found before
// it is the very one that it was computed after, so the key's quality decides speed and never the answer. A block whose
// predecessor has gone cannot be found and goes in its turn. Not thread-safe; deterministic.
class PrefixCache {
 public:
  PrefixCache(int32_t num_blocks, int32_t block_tokens);

  // Appends `count` blocks of unknown contents, or returns false and changes nothing. O(count).
  [[nodiscard]] bool TryAllocate(int32_t count, std::vector<BlockId>& block_table);
  void Release(std::span<const BlockId> blocks) { blocks_.Release(blocks); }

  struct Match {
    PrefixPosition position;
    int32_t num_unreferenced = 0;  // of the blocks found: they count as free as long as nobody shares them
    bool has_collided = false;     // the first block not found has its key in common with another text
  };
  // The longest known beginning of the prompt, of `num_blocks_max` blocks at most. O(blocks found).
  Match Find(const PrefixQuery& query, int32_t num_blocks_max) const;

  // The same; appends the blocks found to the table, with a reference each.
  Match Share(const PrefixQuery& query, int32_t num_blocks_max, std::vector<BlockId>& block_table);

  // Lets others find the blocks of a table from position.num_blocks to `num_blocks`, whose contents are computed by
  // steps that are planned. Blocks that are known already stay as they are; after a collision nothing more is
  // registered. Returns how far the prompt is known; fewer than `num_blocks` blocks: it will not get further.
  PrefixPosition Register(const PrefixQuery& query, PrefixPosition position, int32_t num_blocks,
                          std::span<const BlockId> block_table);

  // Makes the prompt's blocks unknown, those that others computed or hold included: their contents are suspect.
  void Forget(const PrefixQuery& query);

  int32_t num_free() const { return blocks_.num_free(); }  // those that are known and that nobody holds included
  int32_t num_used() const { return blocks_.num_used(); }
  size_t num_known() const { return index_.size(); }

 private:
  struct Entry {
    uint64_t registration = 0;         // 0: not known; else a number that is not used twice
    uint64_t parent_registration = 0;  // of the block before, 0 for the first
    BlockId parent = -1;
    BlockKey key;
  };
  enum class Answer { kUnknown, kFound, kCollision, kOrphan };

  Entry& EntryOf(BlockId block) { return entries_[static_cast<size_t>(block)]; }
  const Entry& EntryOf(BlockId block) const { return entries_[static_cast<size_t>(block)]; }
  bool IsKnown(const PrefixPosition& position) const;
  std::span<const TokenId> TokensOf(const PrefixQuery& query, int32_t index) const;
  Answer LookUp(const PrefixQuery& query, const PrefixPosition& after, BlockId& block) const;
  void Remember(const PrefixQuery& query, const PrefixPosition& after, BlockId block);
  void Unregister(BlockId block);

  const int32_t block_tokens_;
  BlockAllocator blocks_;
  std::vector<Entry> entries_;   // [num_blocks]
  std::vector<TokenId> tokens_;  // [num_blocks, block_tokens]; of known blocks
  absl::flat_hash_map<BlockKey, BlockId> index_;
  uint64_t last_registration_ = 0;
};

}  // namespace tessera
