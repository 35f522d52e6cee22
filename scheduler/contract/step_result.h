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
// (kLength), and logits that are not finite (kError, status Internal).
struct SequenceResult {
  SequenceId sequence;
  std::vector<TokenId> tokens;  // sampled and accepted in this step
  std::vector<PositionLogprobs> logprobs;
  std::vector<PositionLogprobs> prompt_logprobs;
  std::optional<FinishReason> finish;
  absl::Status status;
};

// The result of one rank's plan. Sequences of which a step only ran a part of the prompt are listed only with
// prompt_logprobs; sequences that had ended before are not listed.
struct StepResult {
  int64_t step = 0;
  std::vector<SequenceResult> sequences;
  absl::Duration duration;  // of the step on this rank, exchange waits included
};

}  // namespace tessera
