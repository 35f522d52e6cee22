#include "worker/model/model.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/status_macros.h"

namespace tessera {

Model::Model(const ModelConfig& config, const ModelWeights& weights, const ModelLimits& limits, Backend& backend,
             ExpertExchange* exchange)
    : config_(config),
      weights_(weights),
      backend_(backend),
      decoder_(config, limits, backend, exchange),
      hidden_(static_cast<size_t>(limits.step_tokens_max) * static_cast<size_t>(config.hidden_size)),
      head_input_(static_cast<size_t>(kLogitRowsMax) * static_cast<size_t>(config.hidden_size)) {}

int64_t Model::WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max) {
  return Decoder::WorkspaceBytes(config, step_tokens_max) +
         (int64_t{step_tokens_max} + kLogitRowsMax) * config.hidden_size * int64_t{sizeof(float)};
}

absl::Status Model::Forward(const Batch& batch, PagedLatentCache& cache) {
  num_tokens_ = batch.num_tokens();
  const Tensor<float, 2> hidden(hidden_.data(), {num_tokens_, config_.hidden_size});
  TESSERA_CHECK(hidden.size() <= static_cast<int64_t>(hidden_.size()));
  if (num_tokens_ > 0) {
    TESSERA_RETURN_IF_ERROR(backend_.Embedding(
        {.tokens = {batch.tokens.data(), {num_tokens_}}, .table = weights_.embedding.view, .output = hidden}));
  }
  if (observer_) observer_(-1, hidden);
  for (int32_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
    TESSERA_RETURN_IF_ERROR(decoder_.RunLayer(weights, batch, cache.Layer(layer), hidden));
    if (observer_) observer_(layer, hidden);
  }
  return absl::OkStatus();
}

absl::Status Model::Logits(std::span<const int32_t> rows, Tensor<float, 2> logits) {
  const auto num_rows = static_cast<int64_t>(rows.size());
  TESSERA_CHECK(num_rows <= kLogitRowsMax && logits.dim(0) == num_rows && logits.dim(1) == config_.vocab_size);
  if (num_rows == 0) return absl::OkStatus();
  const Tensor<float, 2> input(head_input_.data(), {num_rows, config_.hidden_size});
  TESSERA_RETURN_IF_ERROR(NormedHidden(rows, input));
  return backend_.Gemm({.input = input, .weight = weights_.lm_head.get(), .output = logits});
}

absl::Status Model::NormedHidden(std::span<const int32_t> rows, Tensor<float, 2> output) {
  TESSERA_CHECK(output.dim(0) == static_cast<int64_t>(rows.size()));
  if (rows.empty()) return absl::OkStatus();
  const Tensor<const float, 2> hidden(hidden_.data(), {num_tokens_, config_.hidden_size});
  for (size_t i = 0; i < rows.size(); ++i) {
    TESSERA_CHECK(rows[i] >= 0 && rows[i] < num_tokens_);
    std::memcpy(output.row(static_cast<int64_t>(i)), hidden.row(rows[i]),
                static_cast<size_t>(config_.hidden_size) * sizeof(float));
  }
  return backend_.RmsNorm({.input = output,
                           .weight = {weights_.norm.data(), {config_.hidden_size}},
                           .epsilon = config_.rms_norm_eps,
                           .output = output});
}

}  // namespace tessera
