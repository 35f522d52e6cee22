#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/contract/worker_port.h"

namespace tessera {

// What one rank does in one step, as far as its time depends on it.
struct StepWork {
  int64_t num_prefill_tokens = 0;
  int64_t num_decode_tokens = 0;  // one for each decoding sequence, and the drafts verified
  int64_t num_draft_passes = 0;   // of the MTP module's head, over the whole batch
  int64_t num_cache_tokens = 0;   // tokens before each slice that its attention reads
};

// How long a rank computes on it. Linear: good enough to compare schedules, not to predict a kernel.
struct StepCost {
  absl::Duration step;  // > 0: what every step costs, even an empty one: weights, exchange latency, launches
  absl::Duration prefill_token;
  absl::Duration decode_token;
  absl::Duration draft_pass;
  absl::Duration cache_token;

  absl::Duration Of(const StepWork& work) const;
};

// Names the field, what it got and what it wanted.
absl::Status Validate(const StepCost& cost);

// A machine from published figures (docs/simulator.md has the derivation).
struct CostPreset {
  std::string_view name;
  std::string_view description;
  StepCost cost;
  WorkerLimits limits;  // of a group with one rank
};

std::span<const CostPreset> CostPresets();

// nullptr when there is none of that name.
const CostPreset* FindCostPreset(std::string_view name);

}  // namespace tessera
