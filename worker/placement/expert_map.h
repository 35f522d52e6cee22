#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace tessera {

// Where the routed experts of one layer live: expert → the slots of the ranks that hold it. Copies hold the same
// weights, so the choice among them changes no result. Immutable; shared by threads.
class ExpertMap {
 public:
  struct Slot {
    int32_t rank = 0;
    int32_t index = 0;  // among the slots of the rank
    friend bool operator==(const Slot&, const Slot&) = default;
  };

  // Every expert once, rank r the r-th range. Requires: num_ranks divides n_routed_experts.
  static ExpertMap Even(int32_t n_routed_experts, int32_t num_ranks);

  // `slot_expert` [slots], slot s on rank s / (slots / num_ranks), as PlaceExperts makes it. Refuses a list in which an
  // expert has no slot.
  static absl::StatusOr<ExpertMap> FromSlots(std::span<const int32_t> slot_expert, int32_t n_routed_experts,
                                             int32_t num_ranks);

  // The copy that works on token `token` of `source_rank`: the source's own if it has one, which sends nothing; else
  // the copies in turn. Requires: `expert` is one of the map's.
  Slot Choose(int32_t expert, int32_t source_rank, int64_t token) const {
    const auto begin = static_cast<size_t>(slot_begin_[static_cast<size_t>(expert)]);
    const auto end = static_cast<size_t>(slot_begin_[static_cast<size_t>(expert) + 1]);
    if (end - begin == 1) return slots_[begin];
    for (size_t i = begin; i < end; ++i) {
      if (slots_[i].rank == source_rank) return slots_[i];
    }
    return slots_[begin + static_cast<size_t>(token + source_rank) % (end - begin)];
  }

  int32_t n_routed_experts() const { return static_cast<int32_t>(slot_begin_.size()) - 1; }
  int32_t num_ranks() const { return num_ranks_; }
  int32_t slots_per_rank() const { return static_cast<int32_t>(slot_expert_.size()) / num_ranks_; }
  std::span<const int32_t> experts_of(int32_t rank) const {  // [slots of the rank]
    const auto count = static_cast<size_t>(slots_per_rank());
    return std::span(slot_expert_).subspan(static_cast<size_t>(rank) * count, count);
  }

 private:
  ExpertMap(std::vector<int32_t> slot_expert, int32_t n_routed_experts, int32_t num_ranks);

  int32_t num_ranks_;
  std::vector<int32_t> slot_expert_;  // [slots]
  std::vector<int32_t> slot_begin_;   // [experts + 1]; into slots_
  std::vector<Slot> slots_;           // [slots], by expert, then by rank
};

}  // namespace tessera
