#pragma once

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace tessera {

// output[t, :] = input[t, :] / √(mean(input[t, :]²) + epsilon) · weight. Input and output may be the same memory.
struct RmsNormArgs {
  Tensor<const float, 2> input;   // [T, D]
  Tensor<const float, 1> weight;  // [D]
  float epsilon = 1e-6F;
  Tensor<float, 2> output;  // [T, D]
};
absl::Status Validate(const RmsNormArgs& args);

}  // namespace tessera
