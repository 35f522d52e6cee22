#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "scheduler/contract/step_plan.h"
#include "scheduler/contract/step_result.h"
#include "worker/cache/paged_latent_cache.h"
#include "worker/exchange/expert_exchange.h"
#include "worker/model/batch.h"
#include "worker/model/model.h"
#include "worker/sample/sampler.h"
#include "worker/sequence_table.h"

namespace tessera {

struct StepRunnerConfig {
  int32_t rank = 0;
  int32_t num_ranks = 1;
  int32_t step_tokens_max = 0;
  int32_t sequences_max = 0;
  int32_t context_tokens_max = 0;
  int32_t vocab_size = 0;
  int32_t valid_vocab = 0;  // ids from here on are padding rows, never sampled
};

// Runs one rank's plans: plan → sequence states → batch → model → sample → result. An error means that the plan or the
// device is broken; the rank must not go on. What goes wrong with one sequence ends that sequence only. Not
// thread-safe; what it is given outlives it.
class StepRunner {
 public:
  // `exchange` may be null if the model has no MoE layer.
  StepRunner(const StepRunnerConfig& config, Model& model, PagedLatentCache& cache, ExpertExchange* exchange,
             const Clock& clock);

  // Runs the plan after the last one. A plan with another number is an error that changes nothing.
  absl::StatusOr<StepResult> Run(StepPlan plan);

  // A forward pass of one prompt token and one generated token with block 0, before the first plan, on all ranks.
  absl::Status WarmUp();

 private:
  // One row of logits and what it is for.
  struct LogitJob {
    int32_t row = 0;
    int32_t target = 0;  // the prompt token whose log probability is wanted; num_tokens(): the next token is sampled
    SequenceState* sequence = nullptr;
  };
  struct RunningSlice {
    SequenceState* sequence = nullptr;
    int32_t num_tokens = 0;
  };

  absl::Status CheckPlan(const StepPlan& plan) const;
  absl::Status AddSlice(const Slice& slice);
  void AddLogitJobs(const RunningSlice& slice, int32_t index);
  absl::Status RunLogitJobs(StepResult& result);
  void FinishJob(const LogitJob& job, std::span<const float> logits, StepResult& result);
  void Sample(SequenceState& sequence, std::span<const float> logits, StepResult& result);
  SequenceResult& ResultOf(const SequenceState& sequence, StepResult& result);

  const StepRunnerConfig config_;
  Model& model_;
  PagedLatentCache& cache_;
  ExpertExchange* const exchange_;
  const Clock& clock_;
  SequenceTable sequences_;
  BatchBuilder builder_;
  Sampler sampler_;
  std::vector<RunningSlice> slices_;  // of the step under way, by index in the batch
  std::vector<LogitJob> jobs_;
  std::vector<int32_t> logit_rows_;
  std::vector<float> logits_;  // [kLogitRowsMax, V]
  int64_t last_step_ = 0;
};

}  // namespace tessera
