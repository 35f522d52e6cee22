#include "worker/model/feed_forward.h"

#include "base/check.h"
#include "base/status_macros.h"

namespace tessera {

FeedForward::FeedForward(const ModelConfig& config, Precision precision, int32_t step_tokens_max,
                         ExpertExchange* exchange)
    : config_(config), contribution_type_(WireType(precision)), exchange_(exchange) {
  if (config.n_routed_experts == 0) return;
  TESSERA_CHECK(exchange != nullptr);
  const auto tokens = static_cast<size_t>(step_tokens_max);
  const auto slots = tokens * static_cast<size_t>(config.router.num_experts_per_tok);
  // The MTP module's layer comes after the last of the main model.
  expert_load_ = ExpertLoad(config.num_hidden_layers + 1, config.n_routed_experts);
  router_logits_.resize(tokens * static_cast<size_t>(config.n_routed_experts));
  experts_.resize(slots);
  expert_weights_.resize(slots);
  contributions_.resize(slots * static_cast<size_t>(config.hidden_size));
}

int64_t FeedForward::WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max) {
  if (config.n_routed_experts == 0) return 0;
  const int64_t per_token =
      config.n_routed_experts + config.router.num_experts_per_tok * (2 + int64_t{config.hidden_size});
  return step_tokens_max * per_token * int64_t{sizeof(float)};
}

absl::Status FeedForward::Run(const LayerWeights& weights, Tensor<const float, 2> input, Backend& backend,
                              Tensor<float, 2> output) {
  if (weights.moe) return RunMoe(*weights.moe, input, backend, output);
  if (input.dim(0) == 0) return absl::OkStatus();
  return backend.GatedMlp({.input = input, .weights = weights.dense->view(), .output = output, .accumulate = true});
}

absl::Status FeedForward::RunMoe(const MoeWeights& weights, Tensor<const float, 2> input, Backend& backend,
                                 Tensor<float, 2> output) {
  const int64_t num_tokens = input.dim(0);
  const int64_t per_token = config_.router.num_experts_per_tok;
  if (num_tokens > 0) TESSERA_RETURN_IF_ERROR(Route(weights, input, backend));
  expert_load_.Add(weights.layer, std::span(experts_).first(static_cast<size_t>(num_tokens * per_token)));
  TESSERA_ASSIGN_OR_RETURN(const ReceivedTokens received,
                           exchange_->Dispatch(input, {experts_.data(), {num_tokens, per_token}}, weights.expert_map));
  if (!received.pair_token.empty()) {
    TESSERA_RETURN_IF_ERROR(backend.MoeExperts({.input = received.input,
                                                .pair_token = received.pair_token,
                                                .expert_begin = received.expert_begin,
                                                .experts = weights.expert_views,
                                                .output = received.output}));
  }
  if (weights.shared && num_tokens > 0) {
    TESSERA_RETURN_IF_ERROR(
        backend.GatedMlp({.input = input, .weights = weights.shared->view(), .output = output, .accumulate = true}));
  }
  const Tensor<float, 3> contributions(contributions_.data(), {num_tokens, per_token, config_.hidden_size});
  TESSERA_RETURN_IF_ERROR(exchange_->Combine(contributions));
  if (num_tokens == 0) return absl::OkStatus();
  return backend.Combine({.contributions = contributions,
                          .weights = {expert_weights_.data(), {num_tokens, per_token}},
                          .rounding = contribution_type_,
                          .output = output});
}

absl::Status FeedForward::Route(const MoeWeights& weights, Tensor<const float, 2> input, Backend& backend) {
  const int64_t num_tokens = input.dim(0);
  const int64_t per_token = config_.router.num_experts_per_tok;
  const Tensor<float, 2> logits(router_logits_.data(), {num_tokens, config_.n_routed_experts});
  TESSERA_RETURN_IF_ERROR(backend.Gemm({.input = input, .weight = weights.router.get(), .output = logits}));
  return backend.Router({.logits = logits,
                         .bias = {weights.bias.data(), {static_cast<int64_t>(weights.bias.size())}},
                         .params = config_.router,
                         .experts = {experts_.data(), {num_tokens, per_token}},
                         .weights = {expert_weights_.data(), {num_tokens, per_token}}});
}

}  // namespace tessera
