#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "worker/checkpoint/model_config.h"
#include "worker/model/batch.h"
#include "worker/model/weights.h"

namespace tessera {

// Multi-head latent attention of one layer (DeepSeek-V2, arXiv 2405.04434, section 2.1): expanded form for prompt
// tokens, absorbed form for generated ones, both against the same paged latent cache. Holds the work space, which all
// layers share; allocates at construction only.
class Attention {
 public:
  Attention(const ModelConfig& config, int32_t step_tokens_max);

  // output[t, :] += o_proj · attention(input[t, :]); writes the tokens' latents to `cache` first.
  absl::Status Run(const AttentionWeights& weights, const Batch& batch, Tensor<const float, 2> input,
                   const LatentCacheView& cache, Backend& backend, Tensor<float, 2> output);

  static int64_t WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max);

 private:
  // Generated tokens go through the absorbed form in pieces: its queries are the widest rows of the model, and a row's
  // result does not depend on the piece.
  static constexpr int64_t kAbsorbedRowsMax = 128;

  absl::Status ProjectQuery(const AttentionWeights& weights, const Batch& batch, Tensor<const float, 2> input,
                            Backend& backend);
  absl::Status WriteLatents(const AttentionWeights& weights, const Batch& batch, Tensor<const float, 2> input,
                            const LatentCacheView& cache, Backend& backend);
  absl::Status AttendGenerated(const AttentionWeights& weights, const Batch& batch, const LatentCacheView& cache,
                               Backend& backend);

  Tensor<float, 3> Query(int64_t num_tokens);
  Tensor<float, 3> Output(int64_t num_tokens);

  const ModelConfig& config_;
  const RopeFrequencies frequencies_;
  const float scale_;
  std::vector<float> query_a_;        // [T, q_lora_rank]
  std::vector<float> query_;          // [T, H, N + P]
  std::vector<float> compressed_;     // [T, R + P]
  std::vector<float> absorbed_;       // [kAbsorbedRowsMax, H, R + P]
  std::vector<float> latent_output_;  // [kAbsorbedRowsMax, H, R]
  std::vector<float> output_;         // [T, H, V]
};

}  // namespace tessera
