#pragma once

#include <cstdint>
#include <vector>

#include "worker/checkpoint/model_config.h"
#include "worker/checkpoint/model_sizes.h"

namespace tessera {

struct FitRequest {
  int64_t memory_bytes = 0;    // of one rank; 0: not known, the table then ends with the weights
  double usable = 0.9;         // share of it for weights and cache; the rest is for activations and the runtime
  std::vector<int32_t> ranks;  // empty: 1, 2, 4, … 256
  bool with_mtp = true;        // if the checkpoint has a module
};

// What each of `ranks` ranks holds under expert parallelism: its share of the routed experts, everything else whole.
struct FitRow {
  int32_t ranks = 1;
  bool divides = true;  // the experts can be shared out evenly; else nothing below is set
  int64_t weight_bytes_per_rank = 0;
  // Only with a memory size:
  bool fits = false;
  int64_t cache_bytes_per_rank = 0;
  int64_t cache_tokens = 0;  // of all ranks together
};

// One row for each number of ranks. Weights count as they are stored.
std::vector<FitRow> FitTable(const ModelConfig& config, const ModelSizes& sizes, const FitRequest& request);

}  // namespace tessera
