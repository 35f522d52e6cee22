#pragma once

#include "absl/status/status.h"
#include "kernels/matrix.h"
#include "kernels/tensor.h"

namespace tessera {

// output[t, :] = table[tokens[t], :].
struct EmbeddingArgs {
  Tensor<const int32_t, 1> tokens;  // [T]; 0 … V − 1
  MatrixView table;                 // [V, D]
  Tensor<float, 2> output;          // [T, D]
};
absl::Status Validate(const EmbeddingArgs& args);

}  // namespace tessera
