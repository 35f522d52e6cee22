#include "worker/model/expert_rebalancer.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "worker/placement/expert_placement.h"

namespace tessera {
namespace {

std::vector<int32_t> SlotsOf(const ExpertMap& map) {
  std::vector<int32_t> slots;
  for (int32_t rank = 0; rank < map.num_ranks(); ++rank) {
    const std::span<const int32_t> experts = map.experts_of(rank);
    slots.insert(slots.end(), experts.begin(), experts.end());
  }
  return slots;
}

}  // namespace

ExpertRebalancer::ExpertRebalancer(const RebalanceOptions& options, const Checkpoint& checkpoint,
                                   const LoadOptions& load_options, Backend& backend, ModelWeights& weights,
                                   ExpertLoad& load, ExpertExchange& exchange)
    : options_(options),
      checkpoint_(checkpoint),
      load_options_(load_options),
      backend_(backend),
      load_(load),
      exchange_(exchange),
      average_(load.num_layers(), exchange.config().n_routed_experts, options.weight_of_new_load) {
  for (LayerWeights& layer : weights.layers) {
    if (layer.moe) layers_.push_back(&*layer.moe);
  }
  if (weights.mtp && weights.mtp->layer.moe) layers_.push_back(&*weights.mtp->layer.moe);
}

absl::Status ExpertRebalancer::Advance(int64_t step) {
  if (options_.interval_steps == 0) return absl::OkStatus();
  if (moves_.empty()) return step % options_.interval_steps == 0 ? Plan() : absl::OkStatus();
  TESSERA_RETURN_IF_ERROR(LoadOne(moves_.back()));
  return step % options_.steps_between_meetings == 0 ? Meet() : absl::OkStatus();
}

// Everything here depends on the gathered numbers alone, so all ranks find the same moves in the same order.
absl::Status ExpertRebalancer::Plan() {
  TESSERA_RETURN_IF_ERROR(GatherLoad());
  double sum_now = 0;
  double sum_planned = 0;
  for (MoeWeights* layer : layers_) {
    const ExpertMap& map = layer->expert_map;
    const std::span<const double> load = average_.layer(layer->layer);
    TESSERA_ASSIGN_OR_RETURN(const std::vector<int32_t> slots,
                             PlaceExperts(load, {.n_routed_experts = map.n_routed_experts(),
                                                 .num_slots = map.slots_per_rank() * map.num_ranks(),
                                                 .n_group = checkpoint_.config().router.n_group,
                                                 .num_nodes = options_.num_nodes,
                                                 .num_ranks = map.num_ranks()}));
    const double now = Balancedness(load, SlotsOf(map), map.num_ranks());
    const double planned = Balancedness(load, slots, map.num_ranks());
    const bool is_worth_it = planned - now >= options_.gain_min;
    sum_now += now;
    sum_planned += is_worth_it ? planned : now;
    if (!is_worth_it) continue;
    TESSERA_ASSIGN_OR_RETURN(ExpertMap target, ExpertMap::FromSlots(slots, map.n_routed_experts(), map.num_ranks()));
    moves_.push_back(MoveTo(*layer, std::move(target)));
  }
  std::reverse(moves_.begin(), moves_.end());
  if (layers_.empty()) return absl::OkStatus();
  balancedness_ = sum_now / static_cast<double>(layers_.size());
  balancedness_planned_ = sum_planned / static_cast<double>(layers_.size());
  return absl::OkStatus();
}

absl::Status ExpertRebalancer::GatherLoad() {
  const std::span<const int64_t> mine = load_.counts();
  std::vector<int64_t> all(mine.size() * static_cast<size_t>(exchange_.config().num_ranks));
  TESSERA_RETURN_IF_ERROR(exchange_.AllGather(mine, all));
  std::vector<int64_t> sum(mine.size(), 0);
  for (size_t i = 0; i < all.size(); ++i) sum[i % sum.size()] += all[i];
  average_.Add(sum);
  load_.Clear();
  return absl::OkStatus();
}

// Experts that stay on this rank stay in memory, whatever their slot.
ExpertRebalancer::Move ExpertRebalancer::MoveTo(MoeWeights& layer, ExpertMap target) const {
  const std::span<const int32_t> now = layer.expert_map.experts_of(load_options_.rank);
  const std::span<const int32_t> wanted = target.experts_of(load_options_.rank);
  std::vector<bool> is_taken(now.size(), false);
  std::vector<int32_t> from_slot;
  for (const int32_t expert : wanted) {
    size_t slot = 0;
    while (slot < now.size() && (is_taken[slot] || now[slot] != expert)) ++slot;
    if (slot < now.size()) is_taken[slot] = true;
    from_slot.push_back(slot < now.size() ? static_cast<int32_t>(slot) : -1);
  }
  std::vector<std::optional<MlpWeights>> loaded(wanted.size());
  return {.layer = &layer, .target = std::move(target), .from_slot = std::move(from_slot), .loaded = std::move(loaded)};
}

absl::Status ExpertRebalancer::LoadOne(Move& move) {
  const std::span<const int32_t> wanted = move.target.experts_of(load_options_.rank);
  for (size_t slot = 0; slot < wanted.size(); ++slot) {
    if (move.from_slot[slot] >= 0 || move.loaded[slot]) continue;
    TESSERA_ASSIGN_OR_RETURN(move.loaded[slot],
                             LoadExpert(checkpoint_, load_options_, move.layer->layer, wanted[slot], backend_));
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

bool ExpertRebalancer::IsReady(const Move& move) {
  for (size_t slot = 0; slot < move.from_slot.size(); ++slot) {
    if (move.from_slot[slot] < 0 && !move.loaded[slot]) return false;
  }
  return true;
}

// Switches the layer if every rank has its experts.
absl::Status ExpertRebalancer::Meet() {
  const std::vector<int64_t> mine = {IsReady(moves_.back()) ? 1 : 0};
  std::vector<int64_t> all(static_cast<size_t>(exchange_.config().num_ranks));
  TESSERA_RETURN_IF_ERROR(exchange_.AllGather(mine, all));
  if (std::find(all.begin(), all.end(), 0) != all.end()) return absl::OkStatus();
  Switch(moves_.back());
  moves_.pop_back();
  ++num_switched_;
  return absl::OkStatus();
}

void ExpertRebalancer::Switch(Move& move) {
  std::vector<MlpWeights> of_slots;
  for (size_t slot = 0; slot < move.from_slot.size(); ++slot) {
    const int32_t from = move.from_slot[slot];
    of_slots.push_back(from < 0 ? *std::move(move.loaded[slot])
                                : std::move(move.layer->experts[static_cast<size_t>(from)]));
  }
  move.layer->ReplaceExperts(std::move(move.target), std::move(of_slots));
}

}  // namespace tessera
