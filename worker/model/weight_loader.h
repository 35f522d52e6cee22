#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/model/weights.h"

namespace tessera {

// Called after each weight, on the loading thread.
using LoadProgress = std::function<void(int64_t num_done, int64_t num_total)>;

struct LoadOptions {
  int32_t rank = 0;
  int32_t num_ranks = 1;
  int32_t num_slots = 0;  // routed experts of a layer that all ranks hold, copies included; 0: each once
  Precision precision = Precision::kBF16;
  bool mtp = false;          // also the MTP module; refused if the checkpoint has none
  bool check_finite = true;  // refuse a weight that holds NaN or an infinity
};

// Refuses a number of ranks among which the experts cannot be divided evenly, naming those that can.
absl::Status ValidateRanks(const ModelConfig& config, int32_t num_ranks);
// Refuses a number of slots that cannot be divided among the ranks, or in which the experts have no room. 0 is right.
absl::Status ValidateSlots(const ModelConfig& config, int32_t num_ranks, int32_t num_slots);

// Weights that one rank loads: the `num_total` of its progress.
int64_t CountWeights(const ModelConfig& config, const LoadOptions& options);

// Which expert each slot holds before any load is known.
ExpertMap FirstExpertMap(const ModelConfig& config, const LoadOptions& options);

// One routed expert of a layer, for a rank that shall hold it from now on.
absl::StatusOr<MlpWeights> LoadExpert(const Checkpoint& checkpoint, const LoadOptions& options, int32_t layer,
                                      int32_t expert, Backend& backend);

// Packs what the rank needs: all weights but the routed experts of other ranks. Reads nothing else of the files.
absl::StatusOr<ModelWeights> LoadWeights(const Checkpoint& checkpoint, const LoadOptions& options, Backend& backend,
                                         const LoadProgress& progress = nullptr);

}  // namespace tessera
