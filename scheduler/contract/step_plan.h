#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "scheduler/contract/request.h"

namespace tessera {

// The largest WorkerLimits::draft_tokens_max.
inline constexpr int32_t kDraftTokensMax = 4;

// A sequence that begins to live on this rank. The worker keeps its tokens, block table and sampling state until it is
// freed. Prompt tokens use the expanded form of attention, generated ones the absorbed form (design: determinism).
struct AddedSequence {
  SequenceId sequence;
  std::vector<TokenId> prompt;
  std::vector<TokenId> generated;  // already known: a sequence resumed after preemption or on another group
  int32_t num_cached_tokens = 0;   // the first of its tokens whose latents its first blocks already hold; whole blocks
  SamplingParams sampling;
  int32_t max_tokens = 0;
  int32_t min_tokens = 0;
  std::vector<TokenId> stop_tokens;
  bool skip_prompt_logprobs = false;  // they were delivered before the sequence was preempted
};

struct AppendedBlocks {
  SequenceId sequence;
  std::vector<BlockId> blocks;
};

// How many tokens of a sequence to run. Known tokens (prompt, then `generated`) come first, in order; the step that
// runs the last of them samples. With none left: the token sampled last, whose value the scheduler need not know, and
// after it the drafts that the worker holds, as far as num_tokens and prompt + max_tokens − 1 positions reach. The
// sequence advances by 1 … num_tokens positions, one for each token of the result; its blocks hold all positions that
// it can reach when every draft is accepted.
struct Slice {
  SequenceId sequence;
  int32_t num_tokens = 0;  // ≥ 1; of a decode slice 1 + the drafts to verify at most
};

// All that one rank does in one step. Holds changes only, so that a plan can be sent while the step before it still
// runs. Applied in the order of the fields. A slice of a sequence that has ended is wasted work, never an error.
struct StepPlan {
  int64_t step = 0;                      // 1, 2, 3 …: a gap or a repeat takes the group out of rotation
  std::vector<int32_t> tokens_per_rank;  // [ranks]; upper bounds that size exchange buffers without another message
  // How many tokens the MTP module guesses for each sequence that samples in this step: 0 … draft_tokens_max, the same
  // on all ranks. A sequence's drafts are verified by its next slice or dropped.
  int32_t draft_tokens = 0;
  std::vector<SequenceId> freed;  // the worker forgets them; their blocks may be used by others from this step on
  std::vector<AddedSequence> added;
  std::vector<AppendedBlocks> blocks;  // at most one entry a sequence
  std::vector<Slice> slices;           // at most one per sequence; decode before prefill
};

}  // namespace tessera
