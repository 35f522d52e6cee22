#pragma once

#include <vector>

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace tessera {

// YaRN context extension (arXiv 2309.00071), as DeepSeek-V2/V3 use it.
struct YarnParams {
  double factor = 1;
  double original_max_position_embeddings = 4096;
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;
  double mscale_all_dim = 0;    // 0: absent
  double attention_factor = 0;  // 0: absent; overrides the factor of cos and sin
};

// The rotation frequencies of one model: static, the same at every position and length.
struct RopeFrequencies {
  std::vector<float> inverse_frequency;  // [qk_rope_head_dim / 2]
  float cos_sin_factor = 1;              // multiplies cos and sin; 1 in every published DeepSeek config
  bool interleaved = true;               // pair i is (2i, 2i+1); else (i, i + dim/2)
};
// yarn == nullptr: plain RoPE, f[i] = theta^(−2i / dim). Requires: dim even and > 0, theta > 1.
RopeFrequencies MakeRopeFrequencies(int dim, double theta, bool interleaved, const YarnParams* yarn);

// The softmax scale: (qk_nope_head_dim + qk_rope_head_dim)^(−1/2) · m(factor, mscale_all_dim)², the square once and
// only with YaRN, m(s, a) = 0.1 · a · ln(s) + 1 for s > 1.
float AttentionScale(int qk_head_dim, const YarnParams* yarn);

// Rotates the last `dim` values of each head of each query in place by its position:
//   angle_i = position · inverse_frequency[i], in F32 as the reference implementation does
//   (a, b) → (a·cos − b·sin, a·sin + b·cos) for each pair; the result stays where the input was.
struct RopeArgs {
  Tensor<float, 3> query;              // [T, H, qk_nope_head_dim + dim]
  Tensor<const int32_t, 1> positions;  // [T]; ≥ 0
  const RopeFrequencies* frequencies = nullptr;
};
absl::Status Validate(const RopeArgs& args);

}  // namespace tessera
