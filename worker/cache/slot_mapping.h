#pragma once

#include <cstdint>
#include <span>

#include "base/ids.h"

namespace tessera {

// Blocks that hold `num_tokens` tokens.
int64_t BlocksFor(int64_t num_tokens);

// Where the tokens first_index … first_index + slots.size() − 1 of a sequence lie in each layer of the cache.
// Requires: the block table covers them.
void MapSlots(std::span<const BlockId> block_table, int64_t first_index, std::span<int64_t> slots);

}  // namespace tessera
