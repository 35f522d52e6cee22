#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/model/attention.h"
#include "worker/model/feed_forward.h"

namespace tessera {

// What sizes a model's work space.
struct ModelLimits {
  Precision precision = Precision::kBF16;
  int32_t step_tokens_max = 0;
};

// Runs decoder layers: x += attention(norm(x)); x += ffn(norm(x)). The main model and the MTP module share one, and
// with it the work space.
class Decoder {
 public:
  Decoder(const ModelConfig& config, const ModelLimits& limits, Backend& backend, ExpertExchange* exchange);

  // `hidden` [T, D] is changed in place. T may be 0.
  absl::Status RunLayer(const LayerWeights& weights, const Batch& batch, const LatentCacheView& cache,
                        Tensor<float, 2> hidden);

  static int64_t WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max);

  ExpertLoad& expert_load() { return feed_forward_.expert_load(); }

 private:
  absl::Status Norm(Tensor<const float, 2> hidden, const std::vector<float>& weight);

  const ModelConfig& config_;
  Backend& backend_;
  Attention attention_;
  FeedForward feed_forward_;
  std::vector<float> normed_;  // [T, D]
};

}  // namespace tessera
