#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace tessera {

enum class Scoring : uint8_t { kSoftmax, kSigmoid };

// How experts are chosen from scores s[e] (spec of the V2 and V3 gates, arXiv 2405.04434 and 2412.19437):
enum class TopkMethod : uint8_t {
  kGreedy,              // the top k of s
  kGroupLimitedGreedy,  // groups ranked by their largest s; the top k of s within the best topk_group groups
  kNoAuxTc,             // t = s + bias for choosing only; groups ranked by the sum of their two largest t
};

struct RouterParams {
  Scoring scoring = Scoring::kSigmoid;
  TopkMethod method = TopkMethod::kNoAuxTc;
  int32_t num_experts_per_tok = 8;
  int32_t n_group = 1;         // contiguous groups of E / n_group experts
  int32_t topk_group = 1;      // experts of other groups can never be chosen
  bool norm_topk_prob = true;  // weights divided by (their sum + 1e-20)
  float routed_scaling_factor = 1;
};

// Weights are taken from the unbiased s, then normalized, then scaled. (V2's gate with norm_topk_prob does not scale;
// no published model has it, and the checkpoint loader refuses it.) Ties, of groups and of experts: the lower index
// wins. A row whose logits are not all finite yields experts 0 … k − 1 with NaN weights: it spoils its own token only.
struct RouterArgs {
  Tensor<const float, 2> logits;  // [T, E]
  Tensor<const float, 1> bias;    // [E]; e_score_correction_bias; empty unless kNoAuxTc
  RouterParams params;
  Tensor<int32_t, 2> experts;  // [T, k]; most wanted first
  Tensor<float, 2> weights;    // [T, k]
};
absl::Status Validate(const RouterArgs& args);

}  // namespace tessera
