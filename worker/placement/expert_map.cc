#include "worker/placement/expert_map.h"

#include <numeric>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace tessera {

ExpertMap::ExpertMap(std::vector<int32_t> slot_expert, int32_t n_routed_experts, int32_t num_ranks)
    : num_ranks_(num_ranks),
      slot_expert_(std::move(slot_expert)),
      slot_begin_(static_cast<size_t>(n_routed_experts) + 1, 0),
      slots_(slot_expert_.size()) {
  for (const int32_t expert : slot_expert_) ++slot_begin_[static_cast<size_t>(expert) + 1];
  std::partial_sum(slot_begin_.begin(), slot_begin_.end(), slot_begin_.begin());
  std::vector<int32_t> next(slot_begin_.begin(), slot_begin_.end() - 1);
  for (size_t slot = 0; slot < slot_expert_.size(); ++slot) {
    const auto index = static_cast<int32_t>(slot);
    slots_[static_cast<size_t>(next[static_cast<size_t>(slot_expert_[slot])]++)] = {.rank = index / slots_per_rank(),
                                                                                    .index = index % slots_per_rank()};
  }
}

ExpertMap ExpertMap::Even(int32_t n_routed_experts, int32_t num_ranks) {
  TESSERA_CHECK(num_ranks > 0 && n_routed_experts > 0 && n_routed_experts % num_ranks == 0);
  std::vector<int32_t> slot_expert(static_cast<size_t>(n_routed_experts));
  std::iota(slot_expert.begin(), slot_expert.end(), 0);
  return ExpertMap(std::move(slot_expert), n_routed_experts, num_ranks);
}

absl::StatusOr<ExpertMap> ExpertMap::FromSlots(std::span<const int32_t> slot_expert, int32_t n_routed_experts,
                                               int32_t num_ranks) {
  if (num_ranks < 1 || n_routed_experts < 1 || slot_expert.empty() ||
      slot_expert.size() % static_cast<size_t>(num_ranks) != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("expert map: got %d slots for %d experts, wanted a multiple of the %d ranks",
                        slot_expert.size(), n_routed_experts, num_ranks));
  }
  std::vector<bool> placed(static_cast<size_t>(n_routed_experts), false);
  for (size_t slot = 0; slot < slot_expert.size(); ++slot) {
    if (slot_expert[slot] < 0 || slot_expert[slot] >= n_routed_experts) {
      return absl::InvalidArgumentError(absl::StrFormat("expert map: slot %d holds expert %d, wanted 0 to %d", slot,
                                                        slot_expert[slot], n_routed_experts - 1));
    }
    placed[static_cast<size_t>(slot_expert[slot])] = true;
  }
  for (size_t expert = 0; expert < placed.size(); ++expert) {
    if (placed[expert]) continue;
    return absl::InvalidArgumentError(
        absl::StrFormat("expert map: none of its %d slots holds expert %d", slot_expert.size(), expert));
  }
  return ExpertMap(std::vector<int32_t>(slot_expert.begin(), slot_expert.end()), n_routed_experts, num_ranks);
}

}  // namespace tessera
