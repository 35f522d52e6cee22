#include "scheduler/cache/block_allocator.h"

#include <numeric>

#include "base/check.h"

namespace tessera {

BlockAllocator::BlockAllocator(int32_t num_blocks) {
  TESSERA_CHECK(num_blocks > 0);
  const auto count = static_cast<size_t>(num_blocks);
  references_.resize(count, 0);
  is_kept_.resize(count, false);
  free_.resize(count);
  std::iota(free_.begin(), free_.end(), 0);
  kept_ring_.resize(count + 1);
  LinkOf(num_blocks) = {num_blocks, num_blocks};
}

bool BlockAllocator::TryAllocate(int32_t count, std::vector<BlockId>& block_table) {
  TESSERA_CHECK(count >= 0);
  if (count > num_free()) return false;
  for (int32_t i = 0; i < count; ++i) {
    BlockId block = 0;
    if (!free_.empty()) {
      block = free_.front();
      free_.pop_front();
    } else {
      block = LinkOf(num_blocks()).next;
      RemoveFromKept(block);
      is_kept_[static_cast<size_t>(block)] = false;
    }
    references_[static_cast<size_t>(block)] = 1;
    block_table.push_back(block);
  }
  return true;
}

void BlockAllocator::AddReference(BlockId block) {
  TESSERA_CHECK(block >= 0 && block < num_blocks());
  if (!IsReferenced(block)) {
    TESSERA_CHECK(is_kept_[static_cast<size_t>(block)]);
    RemoveFromKept(block);
  }
  ++references_[static_cast<size_t>(block)];
}

void BlockAllocator::Release(std::span<const BlockId> blocks) {
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    TESSERA_CHECK(*block >= 0 && *block < num_blocks());
    int32_t& references = references_[static_cast<size_t>(*block)];
    TESSERA_CHECK(references > 0);
    if (--references > 0) continue;
    if (is_kept_[static_cast<size_t>(*block)]) {
      AppendToKept(*block);
    } else {
      free_.push_back(*block);
    }
  }
}

void BlockAllocator::Keep(BlockId block, bool is_kept) {
  TESSERA_CHECK(block >= 0 && block < num_blocks());
  if (is_kept_[static_cast<size_t>(block)] == is_kept) return;
  if (!IsReferenced(block)) {
    TESSERA_CHECK(!is_kept);
    RemoveFromKept(block);
    free_.push_back(block);
  }
  is_kept_[static_cast<size_t>(block)] = is_kept;
}

void BlockAllocator::AppendToKept(BlockId block) {
  const BlockId head = num_blocks();
  const BlockId last = LinkOf(head).previous;
  LinkOf(block) = {last, head};
  LinkOf(last).next = block;
  LinkOf(head).previous = block;
  ++num_kept_free_;
}

void BlockAllocator::RemoveFromKept(BlockId block) {
  const Link link = LinkOf(block);
  LinkOf(link.previous).next = link.next;
  LinkOf(link.next).previous = link.previous;
  --num_kept_free_;
}

}  // namespace tessera
