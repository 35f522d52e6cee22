#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "scheduler/contract/finish_reason.h"
#include "scheduler/contract/token_batch.h"

namespace tessera {

// What a step brought to one sequence. The worker itself sees stop tokens (kStop), max_tokens and the context length
// (kLength), and logits that are not finite (kError, status Internal; tokens before them may be there).
struct SequenceResult {
  SequenceId sequence;
  std::vector<TokenId> tokens;  // sampled and accepted in this step: 1 … 1 + the drafts verified
  std::vector<PositionLogprobs> logprobs;
  std::vector<PositionLogprobs> prompt_logprobs;
  std::optional<FinishReason> finish;
  absl::Status status;
};

// Drafts of one position (the first after a sampled token, the second …) that a step verified.
struct DraftCounts {
  int64_t num_drafted = 0;
  int64_t num_accepted = 0;
};

// The result of one rank's plan. Sequences of which a step only ran a part of the prompt are listed only with
// prompt_logprobs; sequences that had ended before are not listed.
struct StepResult {
  int64_t step = 0;
  std::vector<SequenceResult> sequences;
  std::vector<DraftCounts> drafts;  // by draft position; as long as the longest draft that was verified
  absl::Duration duration;          // of the step on this rank, exchange waits included
};

}  // namespace tessera
