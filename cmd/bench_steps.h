#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "scheduler/contract/worker_port.h"

namespace tessera {

// Numbers the steps that benchmarks run on one worker group, one benchmark after the other. All work is rank 0's; the
// other ranks take part in the exchange.
class BenchSteps {
 public:
  // `worker` outlives it and has run no step yet.
  explicit BenchSteps(WorkerPort& worker) : worker_(worker) {}

  // Fills in the number of the step and the tokens of each rank.
  void Submit(StepPlan plan);
  // Waits for the oldest step and returns rank 0's result.
  absl::StatusOr<StepResult> Receive();

  const WorkerLimits& limits() const { return worker_.limits(); }
  SequenceId NewSequence() { return {next_sequence_++}; }

 private:
  WorkerPort& worker_;
  int64_t next_step_ = 1;
  int64_t next_sequence_ = 1;
};

}  // namespace tessera
