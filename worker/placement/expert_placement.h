#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tessera {

// Where experts can live. A slot is room for one expert; the slots of a rank, and the ranks of a node, are neighbours.
struct PlacementShape {
  int32_t n_routed_experts = 0;
  int32_t num_slots = 0;  // ≥ n_routed_experts; a multiple of num_ranks: what is more holds copies
  int32_t n_group = 1;    // the router's groups of experts, kept together on a node where the nodes divide them
  int32_t num_nodes = 1;  // ranks / nodes of them share a fast network
  int32_t num_ranks = 1;
};
absl::Status Validate(const PlacementShape& shape);

// The expert of each slot, [num_slots], so that the ranks get about the same number of tokens. `load`
// [n_routed_experts] counts the tokens of each expert. Source: DeepSeek's EPLB (github.com/deepseek-ai/EPLB): groups
// are packed onto nodes, each node's experts are replicated, the copies are packed onto its ranks; as if there were one
// group and one node where the nodes do not divide the groups. Deterministic for one build; compute it on one rank all
// the same, since equal weights may be taken in another order by another standard library.
absl::StatusOr<std::vector<int32_t>> PlaceExperts(std::span<const double> load, const PlacementShape& shape);

// Mean load of a rank / load of the busiest rank, with the tokens of an expert shared evenly among its copies: 1 is
// perfect. 1 if there is no load. Requires: `slot_expert` is a placement for `load`.
double Balancedness(std::span<const double> load, std::span<const int32_t> slot_expert, int32_t num_ranks);

// The two steps it is made of.

// Puts items into packs of equal size, heaviest first, each into the lightest pack that has room, the first on a tie.
// One item a pack: item i into pack i. Requires: num_packs divides the number of items.
struct Packing {
  std::vector<int32_t> pack;   // [items]
  std::vector<int32_t> place;  // [items]; within its pack
};
Packing PackEvenly(std::span<const double> weights, int32_t num_packs);

// Slot i < items holds item i; each further slot a copy of the item with the largest weight per copy, the first on a
// tie.
std::vector<int32_t> Replicate(std::span<const double> weights, int32_t num_slots);  // [num_slots]

}  // namespace tessera
