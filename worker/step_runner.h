#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "scheduler/contract/step_plan.h"
#include "scheduler/contract/step_result.h"
#include "worker/cache/paged_latent_cache.h"
#include "worker/drafter.h"
#include "worker/exchange/expert_exchange.h"
#include "worker/model/model.h"
#include "worker/model/mtp_module.h"
#include "worker/sequence_table.h"
#include "worker/slice_batch.h"
#include "worker/verifier.h"

namespace tessera {

struct StepRunnerConfig {
  int32_t rank = 0;
  int32_t num_ranks = 1;
  int32_t step_tokens_max = 0;
  int32_t sequences_max = 0;
  int32_t context_tokens_max = 0;
  int32_t draft_tokens_max = 0;  // > 0: with an MTP module
  int32_t vocab_size = 0;
  int32_t valid_vocab = 0;  // ids from here on are padding rows, never sampled
};

// What a rank's steps run on.
struct StepRunnerParts {
  Model& model;
  MtpModule* mtp = nullptr;  // null: no drafts
  PagedLatentCache& cache;
  ExpertExchange* exchange = nullptr;  // null: the model has no MoE layer
  const Clock& clock;
};

// Runs one rank's plans: plan → sequence states → batch → model → sample → draft → result. An error means that the plan
// or the device is broken; the rank must not go on. What goes wrong with one sequence ends that sequence only. Not
// thread-safe; what it is given outlives it.
class StepRunner {
 public:
  StepRunner(const StepRunnerConfig& config, const StepRunnerParts& parts);

  // Runs the plan after the last one. A plan with another number is an error that changes nothing.
  absl::StatusOr<StepResult> Run(StepPlan plan);

  // A step of one prompt token and one generated token with block 0, before the first plan, on all ranks.
  absl::Status WarmUp();

 private:
  absl::Status CheckPlan(const StepPlan& plan) const;
  absl::StatusOr<StepResult> Execute(StepPlan& plan);
  absl::Status AddSlice(const Slice& slice, int64_t step);

  const StepRunnerConfig config_;
  const StepRunnerParts parts_;
  SequenceTable sequences_;
  SliceBatch batch_;
  std::vector<float> logits_;  // [kLogitRowsMax, V]
  Verifier verifier_;
  std::optional<Drafter> drafter_;
  int64_t last_step_ = 0;
};

}  // namespace tessera
