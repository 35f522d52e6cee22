#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/exchange/expert_exchange.h"

namespace tessera {

// Sorts the (token, expert) pairs that one rank received by expert. Within an expert the order is that of Add, so the
// same calls give the same list. Allocates at construction only.
class PairList {
 public:
  explicit PairList(const ExchangeConfig& config);

  void Clear();
  void BeginToken() { ++num_tokens_; }
  // The token begun last needs the expert in slot `slot` of this rank. Requires: no more than the config's maximum.
  void Add(int32_t slot);
  void Sort();  // after the last Add, before the queries below

  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_pairs() const { return num_pairs_; }
  // Row of the experts' output with the result of the pair that was added `index`-th.
  int32_t row_of(int64_t index) const { return row_[static_cast<size_t>(index)]; }
  std::span<const int32_t> pair_token() const { return {pair_token_.data(), static_cast<size_t>(num_pairs_)}; }
  std::span<const int32_t> expert_begin() const { return expert_begin_; }

 private:
  int64_t num_tokens_ = 0;
  int64_t num_pairs_ = 0;
  std::vector<int32_t> slot_;           // [pairs], as added
  std::vector<int32_t> token_;          // [pairs], as added
  std::vector<int32_t> row_;            // [pairs], as added
  std::vector<int32_t> pair_token_;     // [pairs], sorted
  std::vector<int32_t> expert_begin_;   // [slots + 1]
  std::vector<int32_t> expert_cursor_;  // [slots]
};

}  // namespace tessera
