#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/contract/engine_port.h"
#include "scheduler/contract/finish_reason.h"
#include "scheduler/engine_config.h"
#include "scheduler/simulation/group_choice.h"
#include "scheduler/simulation/quantiles.h"
#include "scheduler/simulation/simulated_worker.h"
#include "scheduler/simulation/trace.h"

namespace tessera {

struct SimulationConfig {
  int32_t num_groups = 1;
  SimulatedWorkerConfig worker;  // of each group
  EngineConfig engine;           // likewise
  GroupPolicy policy = GroupPolicy::kLeastLoad;
};

absl::Status Validate(const SimulationConfig& config);

// What came of a request of the trace. Times count from the trace's beginning.
struct RequestOutcome {
  int32_t group = -1;
  absl::Status refused;        // not OK: no group took it
  absl::Duration started;      // its first step was planned; times are of no meaning when refused,
  absl::Duration first_token;  // nor this one without a token
  absl::Duration end;
  absl::Duration longest_gap;  // between two deliveries of tokens
  int32_t num_tokens = 0;
  int32_t num_cached_tokens = 0;  // of the prompt
  std::optional<FinishReason> finish;
};

struct GroupOutcome {
  EngineStatus status;      // at the end
  absl::Duration busy;      // its workers ran steps
  int32_t waiting_max = 0;  // requests
  int32_t running_max = 0;
  int64_t blocks_used_max = 0;
  int64_t num_sequences_left = 0;  // that the workers still held at the end
};

struct SimulationOutcome {
  std::vector<RequestOutcome> requests;  // as in the trace
  std::vector<GroupOutcome> groups;
  Quantiles itl;       // per token after a request's first: the gap divided by the tokens that came after it
  absl::Duration end;  // the last request ended
};

// Runs a trace on the real engine loops, one a group, with simulated workers and time: discrete events, one thread, the
// same outcome for the same input. Aborts when a request gets a token twice, out of order, too many or none after its
// end, or ends twice: those are bugs of the scheduler. Requires: Validate(config) is OK.
SimulationOutcome Simulate(const SimulationConfig& config, const Trace& trace);

}  // namespace tessera
