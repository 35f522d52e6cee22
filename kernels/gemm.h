#pragma once

#include "absl/status/status.h"
#include "kernels/packed_matrix.h"
#include "kernels/tensor.h"

namespace tessera {

// Linear layer: output[m, n] = Σ_k input[m, k] · weight[n, k]   (+ output[m, n] before, with `accumulate`).
// M ≥ 0. Row m of the output depends on row m of the input alone, summed over k in an order that does not depend on M:
// batch-invariant.
struct GemmArgs {
  Tensor<const float, 2> input;          // [M, K]
  const PackedMatrix* weight = nullptr;  // [N, K]
  Tensor<float, 2> output;               // [M, N]
  bool accumulate = false;
};
absl::Status Validate(const GemmArgs& args);

}  // namespace tessera
