#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/gated_mlp.h"
#include "kernels/tensor.h"

namespace tessera {

// The routed experts of one rank over the tokens it received. A pair is one (token, expert); pairs are sorted by
// expert.
//   output[p, :] = MLP of its expert (input[pair_token[p], :])
// Experts without a pair cost nothing and their weights are not read. Batch-invariant.
struct MoeExpertsArgs {
  Tensor<const float, 2> input;         // [T, D]; tokens received by this rank
  std::span<const int32_t> pair_token;  // [pairs]; 0 … T − 1
  std::span<const int32_t> expert_begin;  // [experts + 1]; expert e has pairs expert_begin[e] … expert_begin[e + 1] − 1
  std::span<const GatedMlpWeights> experts;  // [experts] of this rank
  Tensor<float, 2> output;                   // [pairs, D]
};
absl::Status Validate(const MoeExpertsArgs& args);

}  // namespace tessera
