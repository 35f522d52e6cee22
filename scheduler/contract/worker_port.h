#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/contract/step_plan.h"
#include "scheduler/contract/step_result.h"

namespace tessera {

// What the workers of a group reserved at start. The scheduler never plans beyond it.
struct WorkerLimits {
  int32_t num_ranks = 0;
  int32_t num_blocks = 0;          // cache blocks of each rank
  int32_t block_tokens = 0;        // tokens a block holds
  int32_t step_tokens_max = 0;     // tokens one rank runs in one step
  int32_t sequences_max = 0;       // sequences alive on one rank
  int32_t context_tokens_max = 0;  // tokens of one sequence
  int32_t vocab_size = 0;
  int32_t draft_tokens_max = 0;  // that the MTP module guesses for a sequence in one step, ≤ kDraftTokensMax; 0: no MTP
};

// The scheduler's view of all ranks of a group. Used by one thread.
class WorkerPort {
 public:
  virtual ~WorkerPort() = default;
  virtual const WorkerLimits& limits() const = 0;

  // Hands over one step: one plan per rank, in rank order, all with the same number. Does not wait for it to run; up to
  // two steps may be under way.
  virtual void Submit(std::vector<StepPlan> plans) = 0;

  // Waits for the oldest step under way and returns its results in rank order. An error means that the group is broken:
  // nothing further can be submitted. Requires: a step is under way.
  virtual absl::StatusOr<std::vector<StepResult>> Receive() = 0;
};

}  // namespace tessera
