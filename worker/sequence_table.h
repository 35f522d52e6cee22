#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/ids.h"
#include "kernels/latent_cache.h"
#include "scheduler/contract/step_plan.h"
#include "worker/cache/paged_latent_cache.h"
#include "worker/sample/token_counts.h"

namespace tessera {

// What the worker keeps of a sequence while it lives on this rank.
struct SequenceState {
  SequenceId id;
  std::vector<TokenId> tokens;  // prompt, then all generated ones
  int32_t num_prompt = 0;
  int32_t num_computed = 0;          // tokens whose latents are in the cache
  std::vector<BlockId> block_table;  // in the order of the tokens
  SamplingParams sampling;
  int32_t tokens_max = 0;  // at which it ends: prompt + max_tokens, or the context
  int32_t min_tokens = 0;
  std::vector<TokenId> stop_tokens;  // sorted
  bool wants_prompt_logprobs = false;
  std::optional<TokenCounts> counts;  // only with penalties
  std::vector<TokenId> drafts;        // guesses of the tokens after the last one; its next slice verifies them
  int64_t last_step = -1;             // in which it ran
  bool ended = false;                 // further slices are wasted work

  int32_t num_tokens() const { return static_cast<int32_t>(tokens.size()); }
  int32_t num_generated() const { return num_tokens() - num_prompt; }
  int64_t num_slots() const { return static_cast<int64_t>(block_table.size()) * kBlockTokens; }
};

// What bounds the sequences of one rank.
struct SequenceLimits {
  int32_t sequences_max = 0;
  int32_t context_tokens_max = 0;
  int32_t draft_tokens_max = 0;
  int32_t vocab_size = 0;
};

// The sequences of one rank. Applies what a plan changes and refuses, with an error that names the sequence, what no
// right plan contains; after an error the table may hold a part of the changes. Not thread-safe.
class SequenceTable {
 public:
  // New blocks are poisoned in `cache`, if it was made so. It outlives the table.
  SequenceTable(const SequenceLimits& limits, PagedLatentCache& cache);

  // Applies freed, added and blocks.
  absl::Status Apply(StepPlan& plan);

  // Null if the sequence is not here. The pointer is good until the sequence is freed.
  SequenceState* Find(SequenceId id);

 private:
  absl::Status Free(SequenceId id);
  absl::Status Add(AddedSequence& added);
  absl::Status AppendBlocks(const AppendedBlocks& appended);
  absl::Status Validate(const AddedSequence& added) const;

  const SequenceLimits limits_;
  PagedLatentCache& cache_;
  absl::flat_hash_map<SequenceId, std::unique_ptr<SequenceState>> sequences_;
};

}  // namespace tessera
