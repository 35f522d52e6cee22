#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "base/fake_clock.h"
#include "scheduler/contract/worker_port.h"
#include "scheduler/simulation/step_cost.h"

namespace tessera {

struct SimulatedWorkerConfig {
  WorkerLimits limits;
  StepCost cost;
  double draft_acceptance = 0.8;  // chance of a draft whose predecessors were accepted
};

// A worker group that computes nothing and takes simulated time: the ranks of a step wait for the slowest, a step
// begins when the one before it has ended, and Receive() moves the clock to the end of the step.
//
// A sequence's i-th token is TokenAt(i), and the first token that min_tokens allows to be the end is a stop token: the
// trace says how long an answer is, by min_tokens. So whoever gets the tokens can see that none is lost or doubled.
//
// Checks what a worker relies on: known sequences, budgets, block tables that hold every position. Not thread-safe.
class SimulatedWorker final : public WorkerPort {
 public:
  // `clock` outlives the worker.
  SimulatedWorker(const SimulatedWorkerConfig& config, FakeClock& clock);

  const WorkerLimits& limits() const override { return config_.limits; }
  void Submit(std::vector<StepPlan> plans) override;
  absl::StatusOr<std::vector<StepResult>> Receive() override;

  absl::Duration busy() const { return busy_; }  // sum of the steps' durations
  int64_t num_sequences() const;                 // that the scheduler has not freed

  // 1, 2, 3 … and again from 1 where the vocabulary ends. Requires: vocab_size ≥ 2.
  static TokenId TokenAt(int64_t index, int32_t vocab_size) {
    return 1 + static_cast<TokenId>(index % (vocab_size - 1));
  }

 private:
  struct Sequence {
    int64_t num_prompt = 0;
    int64_t num_known = 0;      // prompt and generated tokens when it was added
    int64_t num_run = 0;        // positions in the cache
    int64_t num_generated = 0;  // those known at first included
    int64_t num_blocks = 0;
    int32_t num_drafts = 0;  // that wait to be verified
    int32_t max_tokens = 0;
    int32_t min_tokens = 0;
    TokenId stop_token = -1;
    uint64_t seed = 0;
    bool ended = false;
  };
  using Rank = absl::flat_hash_map<SequenceId, Sequence>;
  struct StepUnderWay {
    std::vector<StepResult> results;
    absl::Time end;
  };

  StepWork RunRank(Rank& rank, const StepPlan& plan, StepResult& result) const;
  void Add(Rank& rank, const AddedSequence& added) const;
  void RunSlice(Sequence& sequence, const Slice& slice, StepWork& work, StepResult& result) const;
  int32_t NumAccepted(const Sequence& sequence, int32_t num_drafts) const;
  void AppendTokens(Sequence& sequence, int64_t count, SequenceResult& brought) const;

  const SimulatedWorkerConfig config_;
  FakeClock& clock_;
  std::vector<Rank> ranks_;
  std::deque<StepUnderWay> under_way_;  // oldest first
  absl::Time last_end_ = absl::InfinitePast();
  absl::Duration busy_;
  int64_t last_step_ = 0;
};

}  // namespace tessera
