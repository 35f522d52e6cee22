#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/simulation/quantiles.h"
#include "scheduler/simulation/simulation.h"
#include "scheduler/simulation/trace.h"

namespace tessera {

// The requests of one client, or all.
struct ClientReport {
  std::string name;
  int64_t num_requests = 0;
  int64_t num_refused = 0;
  int64_t num_completed = 0;      // ended by themselves
  int64_t num_prompt_tokens = 0;  // of those that were not refused
  int64_t num_cached_tokens = 0;
  int64_t num_generated_tokens = 0;
  Quantiles queue;       // arrival to first step
  Quantiles ttft;        // arrival to first token
  Quantiles end_to_end;  // arrival to end, of completed ones
};

// The figures of a simulation.
struct Report {
  absl::Duration duration;  // of the trace, to the end of its last request
  ClientReport all;
  std::vector<ClientReport> clients;  // in the trace's order; empty when there is one
  Quantiles itl;                      // of all requests
  int64_t num_steps = 0;
  int64_t num_preemptions = 0;
  std::vector<GroupOutcome> groups;

  double PerSecond(int64_t count) const;
  double Utilization(const GroupOutcome& group) const;  // fraction of the time in which its workers ran
};

Report MakeReport(const Trace& trace, const SimulationOutcome& outcome);

}  // namespace tessera
