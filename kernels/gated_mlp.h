#pragma once

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

// output[t] (+)= down · (silu(gate · input[t]) ⊙ (up · input[t])),   silu(z) = z / (1 + e^−z). Batch-invariant.
struct GatedMlpArgs {
  Tensor<const float, 2> input;  // [T, D]
  GatedMlpWeights weights;
  Tensor<float, 2> output;  // [T, D]
  bool accumulate = false;
};
absl::Status Validate(const GatedMlpArgs& args);

}  // namespace tessera
