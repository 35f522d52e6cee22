#include "worker/model/mtp_module.h"

#include <cstring>

#include "base/check.h"
#include "base/status_macros.h"

namespace tessera {

MtpModule::MtpModule(const ModelConfig& config, const ModelWeights& weights, const ModelLimits& limits,
                     Backend& backend, Decoder& decoder)
    : config_(config), weights_(weights), backend_(backend), decoder_(decoder) {
  TESSERA_CHECK(weights.mtp.has_value());
  const auto values = static_cast<size_t>(limits.step_tokens_max) * static_cast<size_t>(config.hidden_size);
  input_.resize(values);
  normed_.resize(values);
  pairs_.resize(2 * values);
  hidden_.resize(values);
  head_input_.resize(static_cast<size_t>(kLogitRowsMax) * static_cast<size_t>(config.hidden_size));
}

int64_t MtpModule::WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max) {
  return (5 * int64_t{step_tokens_max} + kLogitRowsMax) * config.hidden_size * int64_t{sizeof(float)};
}

absl::Status MtpModule::Forward(const Batch& batch, PagedLatentCache& cache) {
  num_tokens_ = batch.num_tokens();
  const MtpWeights& mtp = *weights_.mtp;
  const Tensor<float, 2> normed(normed_.data(), {num_tokens_, config_.hidden_size});
  const Tensor<float, 2> output(hidden_.data(), {num_tokens_, config_.hidden_size});
  if (num_tokens_ > 0) {
    TESSERA_RETURN_IF_ERROR(
        backend_.Embedding({.tokens = {batch.tokens.data(), {num_tokens_}},
                            .table = mtp.embedding != nullptr ? mtp.embedding->view : weights_.embedding.view,
                            .output = output}));
    TESSERA_RETURN_IF_ERROR(Norm(output, mtp.enorm, normed));
    CopyHalf(normed, 0);
    TESSERA_RETURN_IF_ERROR(Norm(input(num_tokens_), mtp.hnorm, normed));
    CopyHalf(normed, 1);
    TESSERA_RETURN_IF_ERROR(backend_.Gemm({.input = {pairs_.data(), {num_tokens_, 2 * int64_t{config_.hidden_size}}},
                                           .weight = mtp.eh_proj.get(),
                                           .output = output}));
  }
  TESSERA_RETURN_IF_ERROR(decoder_.RunLayer(mtp.layer, batch, cache.Layer(config_.num_hidden_layers), output));
  return num_tokens_ == 0 ? absl::OkStatus() : Norm(output, mtp.head_norm, normed);
}

absl::Status MtpModule::Logits(std::span<const int32_t> rows, Tensor<float, 2> logits) {
  const auto num_rows = static_cast<int64_t>(rows.size());
  TESSERA_CHECK(num_rows <= kLogitRowsMax && logits.dim(0) == num_rows && logits.dim(1) == config_.vocab_size);
  if (num_rows == 0) return absl::OkStatus();
  const Tensor<float, 2> input(head_input_.data(), {num_rows, config_.hidden_size});
  for (int64_t i = 0; i < num_rows; ++i) {
    const int32_t row = rows[static_cast<size_t>(i)];
    TESSERA_CHECK(row >= 0 && row < num_tokens_);
    std::memcpy(input.row(i), normed().row(row), static_cast<size_t>(config_.hidden_size) * sizeof(float));
  }
  const PackedMatrix* head = weights_.mtp->head != nullptr ? weights_.mtp->head.get() : weights_.lm_head.get();
  return backend_.Gemm({.input = input, .weight = head, .output = logits});
}

absl::Status MtpModule::Norm(Tensor<const float, 2> input, const std::vector<float>& weight, Tensor<float, 2> output) {
  return backend_.RmsNorm({.input = input,
                           .weight = {weight.data(), {config_.hidden_size}},
                           .epsilon = config_.rms_norm_eps,
                           .output = output});
}

void MtpModule::CopyHalf(Tensor<const float, 2> source, int64_t half) {
  const auto width = static_cast<size_t>(config_.hidden_size);
  for (int64_t t = 0; t < source.dim(0); ++t) {
    std::memcpy(pairs_.data() + (2 * t + half) * config_.hidden_size, source.row(t), width * sizeof(float));
  }
}

}  // namespace tessera
