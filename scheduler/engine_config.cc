#include "scheduler/engine_config.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

absl::Status CheckRange(const char* field, int64_t got, int64_t min, int64_t max) {
  if (got >= min && got <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("%s: got %d, wanted %d to %d", field, got, min, max));
}

absl::Status CheckLimits(const WorkerLimits& limits) {
  constexpr int64_t kMax = INT32_MAX;
  TESSERA_RETURN_IF_ERROR(CheckRange("worker limits: num_ranks", limits.num_ranks, 1, kMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("worker limits: num_blocks", limits.num_blocks, 1, kMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("worker limits: block_tokens", limits.block_tokens, 1, kMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("worker limits: step_tokens_max", limits.step_tokens_max, 1, kMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("worker limits: sequences_max", limits.sequences_max, 1, kMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("worker limits: context_tokens_max", limits.context_tokens_max, 2, kMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("worker limits: draft_tokens_max", limits.draft_tokens_max, 0, kDraftTokensMax));
  return CheckRange("worker limits: vocab_size", limits.vocab_size, 1, kMax);
}

int32_t OrDefault(int32_t value, int32_t if_zero) { return value == 0 ? if_zero : value; }

}  // namespace

absl::Status Validate(const EngineConfig& config, const WorkerLimits& limits) {
  TESSERA_RETURN_IF_ERROR(CheckLimits(limits));
  TESSERA_RETURN_IF_ERROR(CheckRange("queue_requests_max", config.queue_requests_max, 1, INT32_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("queue_tokens_max", config.queue_tokens_max, 1, INT64_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("step_tokens_max", config.step_tokens_max, 0, limits.step_tokens_max));
  TESSERA_RETURN_IF_ERROR(
      CheckRange("prefill_chunk_tokens_max", config.prefill_chunk_tokens_max, 0, limits.step_tokens_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("running_max", config.running_max, 0, limits.sequences_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("preemptions_max", config.preemptions_max, 0, INT32_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("draft_tokens", config.draft_tokens, -1, limits.draft_tokens_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("prefix_cache_key_bits", config.prefix_cache_key_bits, 1, 128));
  if (!(config.free_blocks_min_fraction >= 0 && config.free_blocks_min_fraction < 1)) {  // NaN fails too
    return absl::InvalidArgumentError(absl::StrFormat("free_blocks_min_fraction: got %g, wanted 0 or more, less than 1",
                                                      config.free_blocks_min_fraction));
  }
  return absl::OkStatus();
}

RankPolicy ToRankPolicy(const EngineConfig& config, const WorkerLimits& limits) {
  const int32_t step_tokens_max = OrDefault(config.step_tokens_max, limits.step_tokens_max);
  return {
      .num_blocks = limits.num_blocks,
      .block_tokens = limits.block_tokens,
      .step_tokens_max = step_tokens_max,
      .prefill_chunk_tokens_max =
          std::min(OrDefault(config.prefill_chunk_tokens_max, step_tokens_max), step_tokens_max),
      .running_max = std::min(OrDefault(config.running_max, limits.sequences_max), step_tokens_max),
      .free_blocks_min = static_cast<int32_t>(std::ceil(config.free_blocks_min_fraction * limits.num_blocks)),
      .preemptions_max = config.preemptions_max,
      .block_keys = config.has_prefix_cache ? std::optional<BlockKeyOptions>({.block_tokens = limits.block_tokens,
                                                                              .salt = config.prefix_cache_salt,
                                                                              .num_bits = config.prefix_cache_key_bits})
                                            : std::nullopt,
  };
}

QueueLimits ToQueueLimits(const EngineConfig& config) {
  return {.num_requests_max = config.queue_requests_max, .num_tokens_max = config.queue_tokens_max};
}

int32_t ToDraftTokens(const EngineConfig& config, const WorkerLimits& limits) {
  return config.draft_tokens < 0 ? limits.draft_tokens_max : config.draft_tokens;
}

absl::Status CheckFits(const Request& request, const WorkerLimits& limits) {
  const auto num_prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t num_tokens = num_prompt + request.max_tokens;
  if (num_tokens > limits.context_tokens_max) {
    return absl::OutOfRangeError(
        absl::StrFormat("the prompt's %d tokens and max_tokens %d make %d tokens, the model's context holds %d",
                        num_prompt, request.max_tokens, num_tokens, limits.context_tokens_max));
  }
  const int64_t num_blocks = (num_tokens + limits.block_tokens - 1) / limits.block_tokens;
  if (num_blocks > limits.num_blocks) {
    return absl::OutOfRangeError(absl::StrFormat(
        "the prompt's %d tokens and max_tokens %d need %d cache blocks of %d tokens, a rank has %d (%d tokens)",
        num_prompt, request.max_tokens, num_blocks, limits.block_tokens, limits.num_blocks,
        int64_t{limits.num_blocks} * limits.block_tokens));
  }
  return absl::OkStatus();
}

}  // namespace tessera
