#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "kernels/mla_prefill.h"

namespace tessera {

// The new tokens of one sequence in a step: consecutive, the ones before them are in the cache.
struct SequenceSlice {
  std::span<const TokenId> tokens;       // ≥ 1
  int32_t first_index = 0;               // of tokens[0] in its sequence
  int32_t num_prompt = 0;                // of the sequence: tokens at lower indices are prompt tokens, others generated
  std::span<const BlockId> block_table;  // covers the new tokens
  int32_t first_position = -1;           // for RoPE; −1: first_index
};

// All tokens that one rank runs in one step, row by row: first the generated tokens of all slices, then their prompt
// tokens. The form of attention follows from the token alone (design: determinism), so a slice may have rows in both.
struct Batch {
  std::span<const TokenId> tokens;                         // [T]
  std::span<const int32_t> positions;                      // [T]
  std::span<const int64_t> slots;                          // [T]; where each token's latent goes
  std::span<const std::span<const BlockId>> block_tables;  // [generated]
  std::span<const int32_t> num_cached;                     // [generated]; tokens to attend to, its own included
  std::span<const PrefillSlice> prefill;                   // the rows from num_generated() on

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_generated() const { return static_cast<int64_t>(num_cached.size()); }
};

// Lays out a Batch. Allocates at construction only. The spans of the slices must live as long as the batch is used.
class BatchBuilder {
 public:
  BatchBuilder(int32_t tokens_max, int32_t slices_max);

  void Clear();
  // Returns the index of the slice. Requires: within the limits of construction.
  int32_t Add(const SequenceSlice& slice);
  // Valid until the next Clear.
  Batch Build();

  // Row of the `offset`-th token of a slice. After Build.
  int32_t RowOf(int32_t slice, int32_t offset) const;

 private:
  struct Placed {
    SequenceSlice slice;
    int32_t num_prompt_rows = 0;
    int32_t first_prompt_row = 0;
    int32_t first_generated_row = 0;
  };

  void Write(const Placed& placed);
  void WriteRows(const SequenceSlice& slice, int32_t offset, int32_t count, int32_t row);

  std::vector<Placed> placed_;
  std::vector<TokenId> tokens_;
  std::vector<int32_t> positions_;
  std::vector<int64_t> slots_;
  std::vector<std::span<const BlockId>> block_tables_;
  std::vector<int32_t> num_cached_;
  std::vector<PrefillSlice> prefill_;
  int32_t num_generated_ = 0;
  int32_t num_prompt_ = 0;
};

}  // namespace tessera
