#include "worker/model/attention.h"

#include <algorithm>

#include "base/status_macros.h"

namespace tessera {
namespace {

// q_a_layernorm and kv_a_layernorm keep this epsilon in the published models' code, whatever rms_norm_eps is.
constexpr float kLatentNormEpsilon = 1e-6F;

const YarnParams* YarnOf(const ModelConfig& config) { return config.yarn ? &*config.yarn : nullptr; }

}  // namespace

Attention::Attention(const ModelConfig& config, int32_t step_tokens_max)
    : config_(config),
      frequencies_(
          MakeRopeFrequencies(config.qk_rope_head_dim, config.rope_theta, config.rope_interleave, YarnOf(config))),
      scale_(AttentionScale(config.qk_head_dim(), YarnOf(config))) {
  const auto tokens = static_cast<size_t>(step_tokens_max);
  const auto absorbed_rows = static_cast<size_t>(std::min<int64_t>(step_tokens_max, kAbsorbedRowsMax));
  const auto heads = static_cast<size_t>(config.num_attention_heads);
  const auto latent = static_cast<size_t>(config.kv_lora_rank);
  const auto row = latent + static_cast<size_t>(config.qk_rope_head_dim);
  query_a_.resize(tokens * static_cast<size_t>(config.q_lora_rank));
  query_.resize(tokens * heads * static_cast<size_t>(config.qk_head_dim()));
  compressed_.resize(tokens * row);
  absorbed_.resize(absorbed_rows * heads * row);
  latent_output_.resize(absorbed_rows * heads * latent);
  output_.resize(tokens * heads * static_cast<size_t>(config.v_head_dim));
}

int64_t Attention::WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max) {
  const int64_t heads = config.num_attention_heads;
  const int64_t row = config.kv_lora_rank + config.qk_rope_head_dim;
  const int64_t per_token = config.q_lora_rank + heads * (config.qk_head_dim() + config.v_head_dim) + row;
  const int64_t per_absorbed_row = heads * (row + config.kv_lora_rank);
  const int64_t absorbed_rows = std::min<int64_t>(step_tokens_max, kAbsorbedRowsMax);
  return (step_tokens_max * per_token + absorbed_rows * per_absorbed_row) * int64_t{sizeof(float)};
}

Tensor<float, 3> Attention::Query(int64_t num_tokens) {
  return {query_.data(), {num_tokens, config_.num_attention_heads, config_.qk_head_dim()}};
}

Tensor<float, 3> Attention::Output(int64_t num_tokens) {
  return {output_.data(), {num_tokens, config_.num_attention_heads, config_.v_head_dim}};
}

absl::Status Attention::Run(const AttentionWeights& weights, const Batch& batch, Tensor<const float, 2> input,
                            const LatentCacheView& cache, Backend& backend, Tensor<float, 2> output) {
  const int64_t num_tokens = batch.num_tokens();
  TESSERA_RETURN_IF_ERROR(ProjectQuery(weights, batch, input, backend));
  TESSERA_RETURN_IF_ERROR(WriteLatents(weights, batch, input, cache, backend));
  if (!batch.prefill.empty()) {
    TESSERA_RETURN_IF_ERROR(backend.MlaPrefill({.query = Query(num_tokens),
                                                .cache = cache,
                                                .slices = batch.prefill,
                                                .kv_b = weights.kv_b_proj.get(),
                                                .scale = scale_,
                                                .output = Output(num_tokens)}));
  }
  TESSERA_RETURN_IF_ERROR(AttendGenerated(weights, batch, cache, backend));
  const int64_t width = int64_t{config_.num_attention_heads} * config_.v_head_dim;
  return backend.Gemm({.input = {output_.data(), {num_tokens, width}},
                       .weight = weights.o_proj.get(),
                       .output = output,
                       .accumulate = true});
}

absl::Status Attention::ProjectQuery(const AttentionWeights& weights, const Batch& batch, Tensor<const float, 2> input,
                                     Backend& backend) {
  const int64_t num_tokens = batch.num_tokens();
  const Tensor<float, 2> query(query_.data(),
                               {num_tokens, int64_t{config_.num_attention_heads} * config_.qk_head_dim()});
  if (weights.q_proj != nullptr) {
    TESSERA_RETURN_IF_ERROR(backend.Gemm({.input = input, .weight = weights.q_proj.get(), .output = query}));
  } else {
    const Tensor<float, 2> query_a(query_a_.data(), {num_tokens, config_.q_lora_rank});
    TESSERA_RETURN_IF_ERROR(backend.Gemm({.input = input, .weight = weights.q_a_proj.get(), .output = query_a}));
    TESSERA_RETURN_IF_ERROR(backend.RmsNorm({.input = query_a,
                                             .weight = {weights.q_a_layernorm.data(), {config_.q_lora_rank}},
                                             .epsilon = kLatentNormEpsilon,
                                             .output = query_a}));
    TESSERA_RETURN_IF_ERROR(backend.Gemm({.input = query_a, .weight = weights.q_b_proj.get(), .output = query}));
  }
  return backend.Rope(
      {.query = Query(num_tokens), .positions = {batch.positions.data(), {num_tokens}}, .frequencies = &frequencies_});
}

absl::Status Attention::WriteLatents(const AttentionWeights& weights, const Batch& batch, Tensor<const float, 2> input,
                                     const LatentCacheView& cache, Backend& backend) {
  const int64_t num_tokens = batch.num_tokens();
  const Tensor<float, 2> compressed(compressed_.data(),
                                    {num_tokens, int64_t{config_.kv_lora_rank} + config_.qk_rope_head_dim});
  TESSERA_RETURN_IF_ERROR(backend.Gemm({.input = input, .weight = weights.kv_a_proj.get(), .output = compressed}));
  return backend.LatentWrite({.compressed = compressed,
                              .norm_weight = {weights.kv_a_layernorm.data(), {config_.kv_lora_rank}},
                              .epsilon = kLatentNormEpsilon,
                              .positions = {batch.positions.data(), {num_tokens}},
                              .slots = {batch.slots.data(), {num_tokens}},
                              .frequencies = &frequencies_,
                              .cache = cache});
}

absl::Status Attention::AttendGenerated(const AttentionWeights& weights, const Batch& batch,
                                        const LatentCacheView& cache, Backend& backend) {
  const int64_t heads = config_.num_attention_heads;
  const Tensor<float, 3> query = Query(batch.num_tokens());
  const Tensor<float, 3> output = Output(batch.num_tokens());
  for (int64_t first = 0; first < batch.num_generated(); first += kAbsorbedRowsMax) {
    const int64_t rows = std::min(kAbsorbedRowsMax, batch.num_generated() - first);
    const auto begin = static_cast<size_t>(first);
    const auto count = static_cast<size_t>(rows);
    const Tensor<float, 3> absorbed(absorbed_.data(), {rows, heads, cache.row_values()});
    const Tensor<float, 3> latent_output(latent_output_.data(), {rows, heads, config_.kv_lora_rank});
    TESSERA_RETURN_IF_ERROR(
        backend.AbsorbQuery({.query = query.Rows(first, rows), .w_uk = weights.w_uk_views, .absorbed = absorbed}));
    TESSERA_RETURN_IF_ERROR(backend.MlaDecode({.absorbed = absorbed,
                                               .cache = cache,
                                               .block_tables = batch.block_tables.subspan(begin, count),
                                               .num_tokens = {batch.num_cached.data() + begin, {rows}},
                                               .scale = scale_,
                                               .output = latent_output}));
    TESSERA_RETURN_IF_ERROR(backend.ExpandOutput(
        {.latent_output = latent_output, .w_uv = weights.w_uv_views, .output = output.Rows(first, rows)}));
  }
  return absl::OkStatus();
}

}  // namespace tessera
