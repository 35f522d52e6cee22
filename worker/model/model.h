#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "worker/cache/paged_latent_cache.h"
#include "worker/checkpoint/model_config.h"
#include "worker/exchange/expert_exchange.h"
#include "worker/model/batch.h"
#include "worker/model/decoder.h"
#include "worker/model/weights.h"

namespace tessera {

// Rows of logits that one call may ask for; more are asked for in pieces.
inline constexpr int32_t kLogitRowsMax = 128;

// Sees the hidden state [T, D] after each layer; layer −1 is the embedding. For comparison with a reference.
using LayerObserver = std::function<void(int32_t layer, Tensor<const float, 2> hidden)>;

// The forward pass of one rank: embedding, decoder layers, final norm, logits of the rows that need them. All work
// space is allocated at construction. Not thread-safe; the weights, backend, exchange and cache outlive it.
class Model {
 public:
  Model(const ModelConfig& config, const ModelWeights& weights, const ModelLimits& limits, Backend& backend,
        ExpertExchange* exchange);

  // Computes the hidden states of the batch and writes its latents to the cache. With zero tokens it only takes part
  // in the exchange of each MoE layer.
  absl::Status Forward(const Batch& batch, PagedLatentCache& cache);

  // logits[i, :] = those of row rows[i] of the last Forward. Requires: rows.size() ≤ kLogitRowsMax.
  absl::Status Logits(std::span<const int32_t> rows, Tensor<float, 2> logits);

  // output[i, :] = the state that goes into the head (after the final norm) of row rows[i] of the last Forward: the MTP
  // module's input.
  absl::Status NormedHidden(std::span<const int32_t> rows, Tensor<float, 2> output);

  void set_observer(LayerObserver observer) { observer_ = std::move(observer); }
  Decoder& decoder() { return decoder_; }

  static int64_t WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max);

 private:
  const ModelConfig& config_;
  const ModelWeights& weights_;
  Backend& backend_;
  Decoder decoder_;
  LayerObserver observer_;
  int64_t num_tokens_ = 0;         // of the last Forward
  std::vector<float> hidden_;      // [T, D]
  std::vector<float> head_input_;  // [kLogitRowsMax, D]
};

}  // namespace tessera
