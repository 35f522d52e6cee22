#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/tensor.h"
#include "scheduler/contract/step_result.h"
#include "worker/model/model.h"
#include "worker/sample/sampler.h"
#include "worker/slice_batch.h"

namespace tessera {

// Turns rows of logits into tokens. After a sequence's last known token it samples, and goes on from row to row while
// the token sampled is the draft that the next row was run with: each token is chosen as without drafts, with the
// random number of its own position, penalties and ends counted token by token, and only how many of them a step brings
// depends on the drafts. Also gives prompt tokens their log probabilities. What it is given outlives it.
class Verifier {
 public:
  // `logits` [kLogitRowsMax, V] is work space.
  Verifier(Model& model, Tensor<float, 2> logits, int32_t valid_vocab, int32_t step_tokens_max);

  // After the batch has run. Tokens, ends and counts go into `result` and the sequences, whose num_computed grows by
  // what was known or accepted and whose drafts are used up.
  absl::Status Run(SliceBatch& batch, StepResult& result);

 private:
  // A row whose logits are wanted.
  struct Job {
    RunningSlice* slice = nullptr;
    int32_t offset = 0;  // of its input token in the slice
    int32_t row = 0;
  };

  void AddJobs(SliceBatch& batch, size_t index);
  void Finish(const Job& job, std::span<const float> logits, StepResult& result);
  void AddPromptLogprobs(SequenceState& sequence, int32_t target, std::span<const float> logits, StepResult& result);
  // The token after the sequence's last one; none if that failed, which ends the sequence.
  std::optional<TokenId> Sample(SequenceState& sequence, std::span<const float> logits, StepResult& result);

  Model& model_;
  const Tensor<float, 2> logits_;
  Sampler sampler_;
  std::vector<Job> jobs_;
  std::vector<int32_t> rows_;
};

}  // namespace tessera
