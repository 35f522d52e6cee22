#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/packed_matrix.h"
#include "worker/checkpoint/model_config.h"

namespace tessera {

struct MemoryRequest {
  int32_t num_ranks = 1;
  int32_t num_slots = 0;  // of routed experts, copies included; 0: each once
  Precision precision = Precision::kBF16;
  bool mtp = false;
  int32_t step_tokens_max = 0;
  int32_t num_blocks = 0;       // > 0: exactly so many cache blocks a rank
  int64_t cache_bytes_max = 0;  // else: as many as fit
};

// What one rank reserves at start.
struct MemoryPlan {
  int64_t weights_bytes = 0;  // an estimate from the shapes; a backend may pad
  int64_t workspace_bytes = 0;
  int64_t cache_bytes_per_block = 0;
  int32_t num_blocks = 0;

  int64_t cache_bytes() const { return num_blocks * cache_bytes_per_block; }
  int64_t total_bytes() const { return weights_bytes + workspace_bytes + cache_bytes(); }
};

// Refuses, with the numbers, a cache limit below one block.
absl::StatusOr<MemoryPlan> PlanMemory(const ModelConfig& config, const MemoryRequest& request);

}  // namespace tessera
