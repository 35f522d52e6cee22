#include "worker/model/batch.h"

#include <algorithm>

#include "base/check.h"
#include "worker/cache/slot_mapping.h"

namespace tessera {

BatchBuilder::BatchBuilder(int32_t tokens_max, int32_t slices_max)
    : tokens_(static_cast<size_t>(tokens_max)),
      positions_(static_cast<size_t>(tokens_max)),
      slots_(static_cast<size_t>(tokens_max)),
      block_tables_(static_cast<size_t>(tokens_max)),
      num_cached_(static_cast<size_t>(tokens_max)) {
  placed_.reserve(static_cast<size_t>(slices_max));
  prefill_.reserve(static_cast<size_t>(slices_max));
}

void BatchBuilder::Clear() {
  placed_.clear();
  prefill_.clear();
  num_generated_ = 0;
  num_prompt_ = 0;
}

int32_t BatchBuilder::Add(const SequenceSlice& slice) {
  const auto count = static_cast<int32_t>(slice.tokens.size());
  TESSERA_CHECK(count > 0 && placed_.size() < placed_.capacity());
  TESSERA_CHECK(num_generated_ + num_prompt_ + count <= static_cast<int32_t>(tokens_.size()));
  Placed placed{.slice = slice};
  placed.num_prompt_rows = std::clamp(slice.num_prompt - slice.first_index, 0, count);
  placed.first_prompt_row = num_prompt_;  // from the first prompt row on, until Build knows where that is
  placed.first_generated_row = num_generated_;
  num_prompt_ += placed.num_prompt_rows;
  num_generated_ += count - placed.num_prompt_rows;
  placed_.push_back(placed);
  return static_cast<int32_t>(placed_.size()) - 1;
}

Batch BatchBuilder::Build() {
  for (Placed& placed : placed_) {
    placed.first_prompt_row += num_generated_;
    Write(placed);
  }
  const auto num_generated = static_cast<size_t>(num_generated_);
  const size_t num_tokens = num_generated + static_cast<size_t>(num_prompt_);
  return {.tokens = {tokens_.data(), num_tokens},
          .positions = {positions_.data(), num_tokens},
          .slots = {slots_.data(), num_tokens},
          .block_tables = {block_tables_.data(), num_generated},
          .num_cached = {num_cached_.data(), num_generated},
          .prefill = prefill_};
}

void BatchBuilder::Write(const Placed& placed) {
  const SequenceSlice& slice = placed.slice;
  const auto count = static_cast<int32_t>(slice.tokens.size());
  if (placed.num_prompt_rows > 0) {
    WriteRows(slice, 0, placed.num_prompt_rows, placed.first_prompt_row);
    prefill_.push_back({.first_row = placed.first_prompt_row,
                        .num_rows = placed.num_prompt_rows,
                        .first_position = slice.first_index,
                        .block_table = slice.block_table});
  }
  WriteRows(slice, placed.num_prompt_rows, count - placed.num_prompt_rows, placed.first_generated_row);
  for (int32_t offset = placed.num_prompt_rows; offset < count; ++offset) {
    const auto row = static_cast<size_t>(placed.first_generated_row + offset - placed.num_prompt_rows);
    block_tables_[row] = slice.block_table;
    num_cached_[row] = slice.first_index + offset + 1;
  }
}

void BatchBuilder::WriteRows(const SequenceSlice& slice, int32_t offset, int32_t count, int32_t row) {
  const int32_t first_position = slice.first_position < 0 ? slice.first_index : slice.first_position;
  for (int32_t i = 0; i < count; ++i) {
    const int32_t to = row + i;
    const int32_t from = offset + i;
    tokens_[static_cast<size_t>(to)] = slice.tokens[static_cast<size_t>(from)];
    positions_[static_cast<size_t>(to)] = first_position + from;
  }
  MapSlots(slice.block_table, slice.first_index + offset,
           {slots_.data() + static_cast<size_t>(row), static_cast<size_t>(count)});
}

int32_t BatchBuilder::RowOf(int32_t slice, int32_t offset) const {
  const Placed& placed = placed_[static_cast<size_t>(slice)];
  return offset < placed.num_prompt_rows ? placed.first_prompt_row + offset
                                         : placed.first_generated_row + offset - placed.num_prompt_rows;
}

}  // namespace tessera
