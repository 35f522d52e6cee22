#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/latent_cache.h"
#include "kernels/packed_matrix.h"
#include "kernels/tensor.h"

namespace tessera {

// The part of attention for generated tokens, in absorbed form ("MQA mode"): query and output go through the
// up-projections, so that the cached latent itself serves as key and value. Source: DeepSeek-V2, arXiv 2405.04434,
// section 2.1 and appendix C.
//   S query tokens, H heads, N qk_nope_head_dim, P qk_rope_head_dim, V v_head_dim, R kv_lora_rank

// absorbed[s, h, :R] = W_UK[h]ᵀ · query[s, h, :N];   absorbed[s, h, R:] = query[s, h, N:]
struct AbsorbQueryArgs {
  Tensor<const float, 3> query;               // [S, H, N + P]; rotated
  std::span<const PackedMatrix* const> w_uk;  // [H] of [R, N]: the transposed key part of kv_b_proj
  Tensor<float, 3> absorbed;                  // [S, H, R + P]
};
absl::Status Validate(const AbsorbQueryArgs& args);

// score[s, h, t] = scale · absorbed[s, h, :] · latent[t, :]     output[s, h, :] = Σ_t softmax_t(score[s, h, t]) ·
// latent[t, :R] Query s depends on its own row and its first num_tokens[s] cached tokens alone, in block order:
// batch-invariant.
struct MlaDecodeArgs {
  Tensor<const float, 3> absorbed;                         // [S, H, R + P]
  LatentCacheView cache;                                   // read only
  std::span<const std::span<const int32_t>> block_tables;  // [S]; entries past the tokens are not read
  Tensor<const int32_t, 1> num_tokens;  // [S]; cached tokens to attend to, the query's own included; ≥ 1
  float scale = 0;
  Tensor<float, 3> output;  // [S, H, R]
};
absl::Status Validate(const MlaDecodeArgs& args);

// output[s, h, :] = W_UV[h] · latent_output[s, h, :]
struct ExpandOutputArgs {
  Tensor<const float, 3> latent_output;       // [S, H, R]
  std::span<const PackedMatrix* const> w_uv;  // [H] of [V, R]: the value part of kv_b_proj
  Tensor<float, 3> output;                    // [S, H, V]
};
absl::Status Validate(const ExpandOutputArgs& args);

}  // namespace tessera
