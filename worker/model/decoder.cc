#include "worker/model/decoder.h"

#include "base/status_macros.h"

namespace tessera {

Decoder::Decoder(const ModelConfig& config, const ModelLimits& limits, Backend& backend, ExpertExchange* exchange)
    : config_(config),
      backend_(backend),
      attention_(config, limits.step_tokens_max),
      feed_forward_(config, limits.precision, limits.step_tokens_max, exchange),
      normed_(static_cast<size_t>(limits.step_tokens_max) * static_cast<size_t>(config.hidden_size)) {}

int64_t Decoder::WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max) {
  return Attention::WorkspaceBytes(config, step_tokens_max) + FeedForward::WorkspaceBytes(config, step_tokens_max) +
         int64_t{step_tokens_max} * config.hidden_size * int64_t{sizeof(float)};
}

absl::Status Decoder::RunLayer(const LayerWeights& weights, const Batch& batch, const LatentCacheView& cache,
                               Tensor<float, 2> hidden) {
  const Tensor<const float, 2> normed(normed_.data(), hidden.shape());
  if (hidden.dim(0) > 0) {
    TESSERA_RETURN_IF_ERROR(Norm(hidden, weights.input_layernorm));
    TESSERA_RETURN_IF_ERROR(attention_.Run(weights.attention, batch, normed, cache, backend_, hidden));
    TESSERA_RETURN_IF_ERROR(Norm(hidden, weights.post_attention_layernorm));
  }
  return feed_forward_.Run(weights, normed, backend_, hidden);
}

absl::Status Decoder::Norm(Tensor<const float, 2> hidden, const std::vector<float>& weight) {
  return backend_.RmsNorm({.input = hidden,
                           .weight = {weight.data(), {config_.hidden_size}},
                           .epsilon = config_.rms_norm_eps,
                           .output = {normed_.data(), hidden.shape()}});
}

}  // namespace tessera
