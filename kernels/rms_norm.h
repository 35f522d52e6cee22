#pragma once

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace tessera {

// output[t, :] = input[t, :] / √(mean(input[t, :]²) + epsilon) · weight. Input and output may be the same memory.
// A row whose squares overflow becomes NaN: a factor of 1 / √∞ would make it 0, which looks healthy to all that
// follows.
struct RmsNormArgs {
  Tensor<const float, 2> input;   // [T, D]
  Tensor<const float, 1> weight;  // [D]
  float epsilon = 1e-6F;
  Tensor<float, 2> output;  // [T, D]
};
absl::Status Validate(const RmsNormArgs& args);

}  // namespace tessera
