#include "scheduler/rank_choice.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace tessera {
namespace {

constexpr int32_t kRunningSlack = 4;

auto Rank(const RankOffer& offer) { return std::tuple(-offer.num_cached_tokens, offer.load, offer.num_running); }

}  // namespace

std::optional<size_t> ChooseRank(std::span<const std::optional<RankOffer>> offers, int64_t cache_tokens) {
  int64_t load_min = std::numeric_limits<int64_t>::max();
  int32_t num_running_min = std::numeric_limits<int32_t>::max();
  for (const std::optional<RankOffer>& offer : offers) {
    if (!offer.has_value()) continue;
    load_min = std::min(load_min, offer->load);
    num_running_min = std::min(num_running_min, offer->num_running);
  }
  std::optional<size_t> best;
  for (size_t rank = 0; rank < offers.size(); ++rank) {
    if (!offers[rank].has_value()) continue;
    const RankOffer& offer = *offers[rank];
    const bool is_too_full = offer.load - load_min > std::min(offer.num_cached_tokens, cache_tokens / 8) ||
                             int64_t{offer.num_running} > 2 * int64_t{num_running_min} + kRunningSlack;
    if (is_too_full && offer.load > load_min) continue;  // the emptiest always remains
    if (!best.has_value() || Rank(offer) < Rank(*offers[*best])) best = rank;
  }
  return best;
}

}  // namespace tessera
