#include "server/groups/group_choice.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"

namespace tessera {

double LoadOf(const EngineStatus& status, int32_t num_ranks) {
  const double num_requests = static_cast<double>(status.num_running) + static_cast<double>(status.num_waiting);
  const double tokens = static_cast<double>(status.num_waiting_tokens) + num_requests * kRunningRequestTokens;
  return tokens / static_cast<double>(std::max(1, num_ranks));
}

size_t ChooseGroup(std::span<const GroupOffer> offers, int64_t num_prompt_tokens) {
  TESSERA_CHECK(!offers.empty());
  double least_load = offers[0].load;
  for (const GroupOffer& offer : offers) least_load = std::min(least_load, offer.load);
  const double load_max = std::max(least_load * kLoadRatioMax, least_load + kLoadSlack);
  size_t best = offers.size();
  std::tuple<double, int64_t> best_cost;
  for (size_t i = 0; i < offers.size(); ++i) {
    if (offers[i].load > load_max) continue;
    const double work = offers[i].load + static_cast<double>(num_prompt_tokens - offers[i].num_tokens_found);
    const std::tuple<double, int64_t> cost(work, offers[i].last_chosen);
    if (best == offers.size() || cost < best_cost) {
      best = i;
      best_cost = cost;
    }
  }
  return best;
}

}  // namespace tessera
