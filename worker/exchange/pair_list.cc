#include "worker/exchange/pair_list.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace tessera {

PairList::PairList(const ExchangeConfig& config) {
  const auto pairs_max = static_cast<size_t>(config.received_pairs_max());
  slot_.resize(pairs_max);
  token_.resize(pairs_max);
  row_.resize(pairs_max);
  pair_token_.resize(pairs_max);
  expert_begin_.assign(static_cast<size_t>(config.slots_per_rank()) + 1, 0);
  expert_cursor_.assign(static_cast<size_t>(config.slots_per_rank()), 0);
}

void PairList::Clear() {
  num_tokens_ = 0;
  num_pairs_ = 0;
  std::fill(expert_begin_.begin(), expert_begin_.end(), 0);
}

void PairList::Add(int32_t slot) {
  const auto pair = static_cast<size_t>(num_pairs_++);
  TESSERA_CHECK(pair < slot_.size() && num_tokens_ > 0);
  slot_[pair] = slot;
  token_[pair] = static_cast<int32_t>(num_tokens_ - 1);
  ++expert_begin_[static_cast<size_t>(slot) + 1];
}

void PairList::Sort() {
  std::partial_sum(expert_begin_.begin(), expert_begin_.end(), expert_begin_.begin());
  std::copy(expert_begin_.begin(), expert_begin_.end() - 1, expert_cursor_.begin());
  for (size_t pair = 0; pair < static_cast<size_t>(num_pairs_); ++pair) {
    row_[pair] = expert_cursor_[static_cast<size_t>(slot_[pair])]++;
    pair_token_[static_cast<size_t>(row_[pair])] = token_[pair];
  }
}

}  // namespace tessera
