#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "base/ids.h"
#include "scheduler/contract/request.h"
#include "scheduler/queue/precedence.h"

namespace tessera {

// A request from its acceptance to its end. The engine loop owns it; the planner moves it between its states.
struct OpenRequest {
  enum class State {
    kWaiting,
    kRunning,
    kPreempted,  // stopped; it waits again when the results of its last slices have come, for they bring tokens
  };

  // What every step reads of a running request, together.
  State state = State::kWaiting;
  int32_t rank = -1;          // while running
  SequenceId sequence;        // of its current or last run
  int64_t num_known = 0;      // prompt and generated tokens when the run began
  int64_t num_planned = 0;    // positions that this run's slices compute, planned ones included
  int64_t num_positions = 0;  // that it computes at most: of all tokens but the last
  int64_t last_step = 0;      // the last that has a slice of it
  std::vector<BlockId> block_table;

  Precedence precedence;
  Request request;  // `generated` grows with each delivered token
  int32_t num_preemptions = 0;
  int64_t num_queued_tokens = 0;   // what it adds to the inbox's count of waiting tokens while it waits
  int64_t num_prompt_counted = 0;  // prompt tokens that the status has counted as computed
  int64_t num_prompt_logprobs_delivered = 0;
  int64_t num_prompt_logprobs_seen = 0;       // in this run, delivered before or not
  absl::Time started = absl::InfinitePast();  // its first step was planned
};

}  // namespace tessera
