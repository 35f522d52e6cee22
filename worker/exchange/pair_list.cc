#include "worker/exchange/pair_list.h"

#include <algorithm>

#include "base/check.h"

namespace tessera {

PairList::PairList(const ExchangeConfig& config, int32_t first_expert)
    : first_expert_(first_expert), num_experts_(config.experts_per_rank()) {
  const auto slots_max = static_cast<size_t>(config.received_tokens_max() * config.num_experts_per_tok);
  slot_expert_.resize(slots_max);
  slot_token_.resize(slots_max);
  pair_of_slot_.resize(slots_max);
  pair_token_.resize(static_cast<size_t>(config.received_pairs_max()));
  expert_begin_.assign(static_cast<size_t>(num_experts_) + 1, 0);
  expert_cursor_.assign(static_cast<size_t>(num_experts_), 0);
}

void PairList::Clear() {
  num_tokens_ = 0;
  num_slots_ = 0;
  std::fill(expert_begin_.begin(), expert_begin_.end(), 0);
}

void PairList::Add(Tensor<const int32_t, 2> experts) {
  TESSERA_CHECK(num_slots_ + static_cast<size_t>(experts.size()) <= slot_expert_.size());
  for (int64_t t = 0; t < experts.dim(0); ++t) {
    bool received = false;
    for (int64_t i = 0; i < experts.dim(1); ++i, ++num_slots_) {
      const int32_t expert = experts.row(t)[i];
      slot_expert_[num_slots_] = Owns(expert) ? expert - first_expert_ : -1;
      slot_token_[num_slots_] = static_cast<int32_t>(num_tokens_);
      if (!Owns(expert)) continue;
      received = true;
      ++expert_begin_[static_cast<size_t>(expert - first_expert_) + 1];
    }
    if (received) ++num_tokens_;
  }
}

void PairList::Sort() {
  for (size_t e = 1; e < expert_begin_.size(); ++e) expert_begin_[e] += expert_begin_[e - 1];
  std::copy(expert_begin_.begin(), expert_begin_.end() - 1, expert_cursor_.begin());
  for (size_t slot = 0; slot < num_slots_; ++slot) {
    if (slot_expert_[slot] < 0) {
      pair_of_slot_[slot] = -1;
      continue;
    }
    const int32_t pair = expert_cursor_[static_cast<size_t>(slot_expert_[slot])]++;
    pair_of_slot_[slot] = pair;
    pair_token_[static_cast<size_t>(pair)] = slot_token_[slot];
  }
}

}  // namespace tessera
