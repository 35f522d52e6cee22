#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "kernels/dtype.h"
#include "kernels/rope.h"
#include "kernels/tensor.h"

namespace tessera {

// Tokens of one cache block.
inline constexpr int32_t kBlockTokens = 64;

// One layer of a rank's paged latent cache: [blocks, kBlockTokens, R + P], R kv_lora_rank, P qk_rope_head_dim: per
// token the latent after its norm, then the rotated shared key. DType is kBF16 or kF32.
struct LatentCacheView {
  void* data = nullptr;
  DType dtype = DType::kBF16;
  int64_t num_blocks = 0;
  int64_t kv_lora_rank = 0;
  int64_t qk_rope_head_dim = 0;

  int64_t row_values() const { return kv_lora_rank + qk_rope_head_dim; }
  void* Row(int64_t slot) const { return static_cast<char*>(data) + slot * row_values() * SizeOf(dtype); }
};
// Refuses a cache without memory, of another type or without a size; `operation` begins the message.
absl::Status Validate(const LatentCacheView& cache, std::string_view operation);
// Refuses a block table with too few blocks for `num_tokens`, or with one that the cache lacks.
absl::Status ValidateBlockTable(const LatentCacheView& cache, std::span<const int32_t> block_table, int64_t num_tokens,
                                std::string_view operation);

// Normalizes the latent part of each token, rotates its key and writes both to the token's slot
// (block · kBlockTokens + index in the block), rounded to the cache's type. Source: DeepSeek-V2, arXiv 2405.04434, 2.1.
struct LatentWriteArgs {
  Tensor<const float, 2> compressed;   // [T, R + P]; output of kv_a_proj_with_mqa
  Tensor<const float, 1> norm_weight;  // [R]; kv_a_layernorm
  float epsilon = 1e-6F;
  Tensor<const int32_t, 1> positions;  // [T]
  Tensor<const int64_t, 1> slots;      // [T]; each 0 … num_blocks · kBlockTokens − 1, no two the same
  const RopeFrequencies* frequencies = nullptr;
  LatentCacheView cache;
};
absl::Status Validate(const LatentWriteArgs& args);

}  // namespace tessera
