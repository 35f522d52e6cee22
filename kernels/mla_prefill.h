#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/latent_cache.h"
#include "kernels/packed_matrix.h"
#include "kernels/tensor.h"

namespace tessera {

// Consecutive query rows of one sequence. Their own latents are in the cache already.
struct PrefillSlice {
  int64_t first_row = 0;  // in query and output
  int64_t num_rows = 0;
  int64_t first_position = 0;            // of first_row in its sequence
  std::span<const int32_t> block_table;  // ≥ ⌈(first_position + num_rows) / kBlockTokens⌉ blocks
};

// Attention of prompt tokens in expanded form ("MHA mode") over the paged latent cache. Source: DeepSeek-V2, arXiv
// 2405.04434, section 2.1; scale: YaRN, arXiv 2309.00071.
//   H heads, N qk_nope_head_dim, P qk_rope_head_dim, V v_head_dim, R kv_lora_rank
//   key[s, h, :N] = kv_b[h·(N+V) … +N, :] · latent[s, :R]      value[s, h, :] = kv_b[h·(N+V)+N … +V, :] · latent[s, :R]
//   score[t, h, s] = scale · (query[t, h, :N] · key[s, h] + query[t, h, N:] · latent[s, R:])   for s ≤ position of t
//   output[t, h, :] = Σ_s softmax_s(score[t, h, s]) · value[s, h, :]
// Reads keys from the cache only, block by block, with one running softmax per row in block order, so a row's result is
// the same whatever chunk it comes in. Each block is expanded once per call for all rows that see it.
struct MlaPrefillArgs {
  Tensor<const float, 3> query;  // [T, H, N + P]; the rope part last, rotated
  LatentCacheView cache;         // read only
  std::span<const PrefillSlice> slices;
  const PackedMatrix* kv_b = nullptr;  // [H · (N + V), R]
  float scale = 0;
  Tensor<float, 3> output;  // [T, H, V]; rows of no slice are not touched
};
absl::Status Validate(const MlaPrefillArgs& args);

}  // namespace tessera
