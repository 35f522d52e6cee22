#include "scheduler/cache/block_allocator.h"

#include <numeric>

#include "base/check.h"

namespace tessera {

BlockAllocator::BlockAllocator(int32_t num_blocks) {
  TESSERA_CHECK(num_blocks > 0);
  references_.resize(static_cast<size_t>(num_blocks), 0);
  free_.resize(static_cast<size_t>(num_blocks));
  std::iota(free_.begin(), free_.end(), 0);
}

bool BlockAllocator::TryAllocate(int32_t count, std::vector<BlockId>& block_table) {
  TESSERA_CHECK(count >= 0);
  if (count > num_free()) return false;
  for (int32_t i = 0; i < count; ++i) {
    const BlockId block = free_.front();
    free_.pop_front();
    references_[static_cast<size_t>(block)] = 1;
    block_table.push_back(block);
  }
  return true;
}

void BlockAllocator::Release(std::span<const BlockId> blocks) {
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    TESSERA_CHECK(*block >= 0 && *block < num_blocks());
    int32_t& references = references_[static_cast<size_t>(*block)];
    TESSERA_CHECK(references > 0);
    if (--references == 0) free_.push_back(*block);
  }
}

}  // namespace tessera
