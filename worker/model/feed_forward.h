#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "worker/checkpoint/model_config.h"
#include "worker/exchange/expert_exchange.h"
#include "worker/model/weights.h"
#include "worker/placement/expert_load.h"

namespace tessera {

// In which type rows travel between ranks: no narrower than the products and the sum over experts take them.
inline DType WireType(Precision precision) { return precision == Precision::kBF16 ? DType::kBF16 : DType::kF32; }

// The feed-forward part of one layer: a dense network, or a mixture of experts spread over the ranks. Holds the work
// space, which all layers share; allocates at construction only.
class FeedForward {
 public:
  // `exchange` may be null if the model has no MoE layer.
  FeedForward(const ModelConfig& config, Precision precision, int32_t step_tokens_max, ExpertExchange* exchange);

  // output[t, :] += FFN(input[t, :]). A rank with zero tokens must call it too: its experts may be wanted.
  absl::Status Run(const LayerWeights& weights, Tensor<const float, 2> input, Backend& backend,
                   Tensor<float, 2> output);

  // Tokens of this rank by layer (as the checkpoint numbers them) and routed expert, since the last Clear.
  ExpertLoad& expert_load() { return expert_load_; }

  static int64_t WorkspaceBytes(const ModelConfig& config, int32_t step_tokens_max);

 private:
  absl::Status RunMoe(const MoeWeights& weights, Tensor<const float, 2> input, Backend& backend,
                      Tensor<float, 2> output);
  absl::Status Route(const MoeWeights& weights, Tensor<const float, 2> input, Backend& backend);

  const ModelConfig& config_;
  const DType contribution_type_;  // in which an expert's output travels to its token
  ExpertExchange* const exchange_;
  ExpertLoad expert_load_;
  std::vector<float> router_logits_;   // [T, E]
  std::vector<int32_t> experts_;       // [T, num_experts_per_tok]
  std::vector<float> expert_weights_;  // [T, num_experts_per_tok]
  std::vector<float> contributions_;   // [T, num_experts_per_tok, D]
};

}  // namespace tessera
