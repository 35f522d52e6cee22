#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "kernels/packed_matrix.h"
#include "kernels/tensor.h"

namespace tessera {

// The weights of one feed-forward network: a dense layer's, a shared expert or a routed expert.
struct GatedMlpWeights {
  const PackedMatrix* gate = nullptr;  // [F, D]
  const PackedMatrix* up = nullptr;    // [F, D]
  const PackedMatrix* down = nullptr;  // [D, F]
};
// Refuses weights that are missing or whose shapes disagree; `operation` begins the message.
absl::Status Validate(const GatedMlpWeights& weights, int64_t hidden_size, std::string_view operation);

// output[t] (+)= down · (silu(gate · input[t]) ⊙ (up · input[t])),   silu(z) = z / (1 + e^−z). Batch-invariant.
struct GatedMlpArgs {
  Tensor<const float, 2> input;  // [T, D]
  GatedMlpWeights weights;
  Tensor<float, 2> output;  // [T, D]
  bool accumulate = false;
};
absl::Status Validate(const GatedMlpArgs& args);

}  // namespace tessera
