#include "scheduler/contract/status_totals.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace tessera {
namespace {

template <size_t kSize>
void Add(const std::array<int64_t, kSize>& earlier, std::array<int64_t, kSize>& counts) {
  for (size_t i = 0; i < kSize; ++i) counts[i] += earlier[i];
}

}  // namespace

void AddCounters(const EngineStatus& earlier, EngineStatus& status) {
  status.num_steps += earlier.num_steps;
  status.num_preemptions += earlier.num_preemptions;
  status.num_prompt_tokens += earlier.num_prompt_tokens;
  status.num_generated_tokens += earlier.num_generated_tokens;
  status.num_cached_prompt_tokens += earlier.num_cached_prompt_tokens;
  status.num_prefix_cache_queries += earlier.num_prefix_cache_queries;
  status.num_prefix_cache_hits += earlier.num_prefix_cache_hits;
  status.num_prefix_cache_collisions += earlier.num_prefix_cache_collisions;
  status.num_drafts += earlier.num_drafts;
  status.num_draft_tokens += earlier.num_draft_tokens;
  Add(earlier.num_accepted_by_position, status.num_accepted_by_position);
  status.num_failed_numeric += earlier.num_failed_numeric;
  status.num_refused += earlier.num_refused;
  Add(earlier.num_finished, status.num_finished);
  status.num_step_tokens += earlier.num_step_tokens;
  Add(earlier.num_steps_by_tokens, status.num_steps_by_tokens);
  status.last_progress = std::max(status.last_progress, earlier.last_progress);
}

}  // namespace tessera
