#include "worker/exchange/expert_exchange.h"

#include "absl/strings/str_format.h"

namespace tessera {

absl::Status Validate(const ExchangeConfig& config) {
  if (config.num_ranks < 1 || config.n_routed_experts < 1 || config.n_routed_experts % config.num_ranks != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "exchange: got %d experts for %d ranks, wanted a multiple of them", config.n_routed_experts, config.num_ranks));
  }
  if (config.num_slots != 0 &&
      (config.num_slots < config.n_routed_experts || config.num_slots % config.num_ranks != 0)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("exchange: got %d expert slots, wanted a multiple of the %d ranks, at least %d",
                        config.num_slots, config.num_ranks, config.n_routed_experts));
  }
  if (config.num_experts_per_tok < 1 || config.hidden_size < 1 || config.step_tokens_max < 1) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "exchange: got num_experts_per_tok %d, hidden_size %d, step_tokens_max %d, wanted at least 1 of each",
        config.num_experts_per_tok, config.hidden_size, config.step_tokens_max));
  }
  constexpr int32_t kSlotsPerRankMax = 0x8000;  // of a dispatch message
  if (config.slots_per_rank() > kSlotsPerRankMax) {
    return absl::InvalidArgumentError(absl::StrFormat("exchange: got %d experts a rank, wanted at most %d",
                                                      config.slots_per_rank(), kSlotsPerRankMax));
  }
  if (config.wire != DType::kF32 && config.wire != DType::kBF16) {
    return absl::InvalidArgumentError("exchange: rows travel as F32 or BF16");
  }
  return absl::OkStatus();
}

}  // namespace tessera
