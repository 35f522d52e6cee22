#include "server/groups/engine_figures.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/status_totals.h"

namespace tessera {

absl::Status CheckRequest(const Request& request, const EngineLimits& limits) {
  TESSERA_RETURN_IF_ERROR(Validate(request, limits.vocab_size));
  const int64_t total = static_cast<int64_t>(request.prompt.size()) + request.max_tokens;
  const int64_t most = std::min<int64_t>(limits.context_tokens_max, limits.cache_tokens_per_rank);
  if (total <= most) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrFormat(
      "prompt + max_tokens: got %d + %d tokens, wanted at most %d (context length %d, cache of a rank %d)",
      request.prompt.size(), request.max_tokens, most, limits.context_tokens_max, limits.cache_tokens_per_rank));
}

void AddFigures(const EngineStatus& from, EngineStatus& to) {
  AddCounters(from, to);
  to.num_waiting += from.num_waiting;
  to.num_running += from.num_running;
  to.num_blocks_used += from.num_blocks_used;
  to.num_blocks_total += from.num_blocks_total;
  to.num_waiting_tokens += from.num_waiting_tokens;
}

EngineLimits Smallest(const EngineLimits& a, const EngineLimits& b) {
  if (a.context_tokens_max == 0) return b;
  if (b.context_tokens_max == 0) return a;
  return {.context_tokens_max = std::min(a.context_tokens_max, b.context_tokens_max),
          .cache_tokens_per_rank = std::min(a.cache_tokens_per_rank, b.cache_tokens_per_rank),
          .vocab_size = std::min(a.vocab_size, b.vocab_size),
          .num_ranks = std::min(a.num_ranks, b.num_ranks),
          .block_tokens = std::min(a.block_tokens, b.block_tokens),
          .num_blocks_per_rank = std::min(a.num_blocks_per_rank, b.num_blocks_per_rank),
          .has_prefix_cache = a.has_prefix_cache && b.has_prefix_cache};
}

}  // namespace tessera
