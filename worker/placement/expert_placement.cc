#include "worker/placement/expert_placement.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

std::vector<int32_t> Copies(std::span<const int32_t> slot_item, size_t num_items) {
  std::vector<int32_t> copies(num_items, 0);
  for (const int32_t item : slot_item) ++copies[static_cast<size_t>(item)];
  return copies;
}

// All experts, those of the first node first: each node gets whole groups.
std::vector<int32_t> AssignGroupsToNodes(std::span<const double> load, int32_t n_group, int32_t num_nodes) {
  const size_t group_size = load.size() / static_cast<size_t>(n_group);
  std::vector<double> group_load;
  for (size_t first = 0; first < load.size(); first += group_size) {
    group_load.push_back(std::accumulate(load.begin() + static_cast<ptrdiff_t>(first),
                                         load.begin() + static_cast<ptrdiff_t>(first + group_size), 0.0));
  }
  const Packing packing = PackEvenly(group_load, num_nodes);
  const int32_t groups_per_node = n_group / num_nodes;
  std::vector<int32_t> experts(load.size());
  for (size_t group = 0; group < group_load.size(); ++group) {
    const auto first = static_cast<size_t>(packing.pack[group] * groups_per_node + packing.place[group]) * group_size;
    std::iota(experts.begin() + static_cast<ptrdiff_t>(first),
              experts.begin() + static_cast<ptrdiff_t>(first + group_size), static_cast<int32_t>(group * group_size));
  }
  return experts;
}

// The experts of the slots of one node that holds `experts`.
std::vector<int32_t> FillNode(std::span<const double> load, std::span<const int32_t> experts, int32_t num_slots,
                              int32_t num_ranks) {
  std::vector<double> weights;
  for (const int32_t expert : experts) weights.push_back(load[static_cast<size_t>(expert)]);
  const std::vector<int32_t> copies = Replicate(weights, num_slots);
  const std::vector<int32_t> num_copies = Copies(copies, weights.size());
  std::vector<double> copy_weights;
  for (const int32_t item : copies) {
    copy_weights.push_back(weights[static_cast<size_t>(item)] / num_copies[static_cast<size_t>(item)]);
  }
  const Packing packing = PackEvenly(copy_weights, num_ranks);
  const int32_t slots_per_rank = num_slots / num_ranks;
  std::vector<int32_t> slot_expert(static_cast<size_t>(num_slots));
  for (size_t i = 0; i < copies.size(); ++i) {
    const size_t first = static_cast<size_t>(packing.pack[i]) * static_cast<size_t>(slots_per_rank);
    slot_expert[first + static_cast<size_t>(packing.place[i])] = experts[static_cast<size_t>(copies[i])];
  }
  return slot_expert;
}

}  // namespace

absl::Status Validate(const PlacementShape& shape) {
  if (shape.n_routed_experts < 1 || shape.num_ranks < 1 || shape.num_nodes < 1 || shape.n_group < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("expert placement: got %d experts, %d groups, %d nodes, %d ranks, wanted at least one of each",
                        shape.n_routed_experts, shape.n_group, shape.num_nodes, shape.num_ranks));
  }
  if (shape.num_slots < shape.n_routed_experts || shape.num_slots % shape.num_ranks != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("expert placement: got %d slots, wanted a multiple of the %d ranks, at least %d",
                        shape.num_slots, shape.num_ranks, shape.n_routed_experts));
  }
  if (shape.num_ranks % shape.num_nodes != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "expert placement: got %d nodes, wanted a divisor of the %d ranks", shape.num_nodes, shape.num_ranks));
  }
  if (shape.n_routed_experts % shape.n_group != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "expert placement: got %d groups, wanted a divisor of the %d experts", shape.n_group, shape.n_routed_experts));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> PlaceExperts(std::span<const double> load, const PlacementShape& shape) {
  TESSERA_RETURN_IF_ERROR(Validate(shape));
  if (load.size() != static_cast<size_t>(shape.n_routed_experts)) {
    return absl::InvalidArgumentError(absl::StrFormat("expert placement: got the load of %d experts, wanted %d",
                                                      load.size(), shape.n_routed_experts));
  }
  const bool by_node = shape.n_group % shape.num_nodes == 0;
  const int32_t num_nodes = by_node ? shape.num_nodes : 1;
  const std::vector<int32_t> experts = AssignGroupsToNodes(load, by_node ? shape.n_group : 1, num_nodes);
  const size_t experts_per_node = experts.size() / static_cast<size_t>(num_nodes);
  std::vector<int32_t> slot_expert;
  for (size_t first = 0; first < experts.size(); first += experts_per_node) {
    const std::vector<int32_t> node = FillNode(load, std::span(experts).subspan(first, experts_per_node),
                                               shape.num_slots / num_nodes, shape.num_ranks / num_nodes);
    slot_expert.insert(slot_expert.end(), node.begin(), node.end());
  }
  return slot_expert;
}

double Balancedness(std::span<const double> load, std::span<const int32_t> slot_expert, int32_t num_ranks) {
  const std::vector<int32_t> num_copies = Copies(slot_expert, load.size());
  const size_t slots_per_rank = slot_expert.size() / static_cast<size_t>(num_ranks);
  std::vector<double> rank_load(static_cast<size_t>(num_ranks), 0.0);
  for (size_t slot = 0; slot < slot_expert.size(); ++slot) {
    const auto expert = static_cast<size_t>(slot_expert[slot]);
    rank_load[slot / slots_per_rank] += load[expert] / num_copies[expert];
  }
  const double busiest = *std::max_element(rank_load.begin(), rank_load.end());
  if (busiest <= 0) return 1;
  return std::accumulate(rank_load.begin(), rank_load.end(), 0.0) / num_ranks / busiest;
}

Packing PackEvenly(std::span<const double> weights, int32_t num_packs) {
  TESSERA_CHECK(num_packs > 0 && weights.size() % static_cast<size_t>(num_packs) == 0);
  const auto pack_size = static_cast<int32_t>(weights.size() / static_cast<size_t>(num_packs));
  Packing packing{.pack = std::vector<int32_t>(weights.size()), .place = std::vector<int32_t>(weights.size(), 0)};
  if (pack_size == 1) {
    std::iota(packing.pack.begin(), packing.pack.end(), 0);
    return packing;
  }
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  // Not stable_sort: the published placements leave equal weights in the order of an introsort, which std::sort is.
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  std::vector<double> pack_weight(static_cast<size_t>(num_packs), 0.0);
  std::vector<int32_t> pack_count(static_cast<size_t>(num_packs), 0);
  for (const size_t item : order) {
    size_t lightest = pack_weight.size();
    for (size_t pack = 0; pack < pack_weight.size(); ++pack) {
      if (pack_count[pack] == pack_size) continue;
      if (lightest == pack_weight.size() || pack_weight[pack] < pack_weight[lightest]) lightest = pack;
    }
    packing.pack[item] = static_cast<int32_t>(lightest);
    packing.place[item] = pack_count[lightest]++;
    pack_weight[lightest] += weights[item];
  }
  return packing;
}

std::vector<int32_t> Replicate(std::span<const double> weights, int32_t num_slots) {
  TESSERA_CHECK(static_cast<size_t>(num_slots) >= weights.size());
  std::vector<int32_t> slot_item(weights.size());
  std::iota(slot_item.begin(), slot_item.end(), 0);
  std::vector<int32_t> num_copies(weights.size(), 1);
  while (slot_item.size() < static_cast<size_t>(num_slots)) {
    size_t heaviest = 0;
    for (size_t item = 1; item < weights.size(); ++item) {
      if (weights[item] / num_copies[item] > weights[heaviest] / num_copies[heaviest]) heaviest = item;
    }
    slot_item.push_back(static_cast<int32_t>(heaviest));
    ++num_copies[heaviest];
  }
  return slot_item;
}

}  // namespace tessera
