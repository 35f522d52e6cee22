#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "scheduler/contract/worker_port.h"

namespace tessera {

// For tests: the smallest scheduler that can drive a WorkerPort. It plans a step while the one before runs, as the real
// one does, so that plans for sequences that have just ended occur too. Blocks are never reused.
class PlanDriver {
 public:
  struct Output {
    std::vector<TokenId> tokens;
    std::vector<PositionLogprobs> logprobs;
    std::vector<PositionLogprobs> prompt_logprobs;
    std::optional<FinishReason> finish;
    absl::Status status;
  };

  // Known tokens run in slices of at most `chunk`.
  PlanDriver(WorkerPort& port, int32_t chunk);

  // The sequence joins the step after next, on this rank. Its fields but `num_cached_tokens` are up to the test.
  void Add(int32_t rank, AddedSequence sequence);

  // Runs until every sequence has ended, or until the group breaks. Outputs are those of all sequences so far.
  absl::Status RunToEnd();

  const Output& output(SequenceId id) const { return outputs_.at(id); }
  int64_t num_steps() const { return step_; }

 private:
  struct Planned {
    AddedSequence sequence;
    int32_t rank = 0;
    bool added = false;
    int32_t num_tokens = 0;  // known and yet to be sampled by planned steps
    int32_t num_run = 0;     // in planned steps
    int32_t num_blocks = 0;
  };

  std::vector<StepPlan> NextPlans();
  void PlanSlice(Planned& planned, StepPlan& plan);
  absl::Status Receive();

  WorkerPort& port_;
  const int32_t chunk_;
  int64_t step_ = 0;
  std::vector<int32_t> next_block_;  // [ranks]
  std::vector<Planned> running_;
  std::vector<std::pair<SequenceId, int32_t>> ended_;  // and their rank, to be freed by the next plan
  std::map<SequenceId, Output> outputs_;
};

}  // namespace tessera
