#pragma once

#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/panel_gemm.h"
#include "kernels/gated_mlp.h"

namespace tessera::cpu {

// Some consecutive rows of a batch and the network they go through.
struct FeedForwardGroup {
  GatedMlpWeights weights;
  int64_t first_row = 0;
  int64_t num_rows = 0;
};

// A batch of rows, grouped by network. The weights of each group are read once for all its rows (kRowBlock at a time).
struct FeedForward {
  std::span<const FeedForwardGroup> groups;
  absl::FunctionRef<const float*(int64_t row)> input;  // where row i's D values are
  int64_t num_rows = 0;
  float* output = nullptr;  // [num_rows, D]
  bool accumulate = false;
};
// All networks have weights of the same formats. Does not reset the context.
void RunFeedForward(const FeedForward& batch, Context& context);

}  // namespace tessera::cpu
