#pragma once

#include "absl/status/status.h"
#include "kernels/dtype.h"
#include "kernels/tensor.h"

namespace tessera {

// Adds the routed experts' outputs to each token, in the order of its routing slots, wherever the experts live:
//   output[t, :] += Σ_k weights[t, k] · round(contributions[t, k, :]),   left to right, in F32
// `rounding` is the type in which contributions travel between ranks (kBF16 or kF32): applied on one rank too, so that
// the number of ranks does not show.
struct CombineArgs {
  Tensor<const float, 3> contributions;  // [T, num_experts_per_tok, D]
  Tensor<const float, 2> weights;        // [T, num_experts_per_tok]
  DType rounding = DType::kBF16;
  Tensor<float, 2> output;  // [T, D]
};
absl::Status Validate(const CombineArgs& args);

}  // namespace tessera
