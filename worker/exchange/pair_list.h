#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tensor.h"
#include "worker/exchange/expert_exchange.h"

namespace tessera {

// Sorts the (token, expert) pairs that one rank received by expert. Within an expert the order is that of Add, so the
// same calls give the same list. Allocates at construction only.
class PairList {
 public:
  // Pairs of experts first_expert … first_expert + config.experts_per_rank() − 1 are taken, others passed over.
  PairList(const ExchangeConfig& config, int32_t first_expert);

  void Clear();
  // Appends the tokens of one sender, rows of experts [T, k]. Those with no expert here are not received.
  void Add(Tensor<const int32_t, 2> experts);
  void Sort();  // after the last Add, before the queries below

  int64_t num_tokens() const { return num_tokens_; }
  bool Owns(int32_t expert) const { return expert >= first_expert_ && expert < first_expert_ + num_experts_; }
  // Row of the experts' output with the result of the pair that was the `flat`-th of all slots added (token · k + slot,
  // counted over all senders); −1: its expert lives elsewhere.
  int32_t pair_of_slot(int64_t flat) const { return pair_of_slot_[static_cast<size_t>(flat)]; }
  std::span<const int32_t> pair_token() const {
    return {pair_token_.data(), static_cast<size_t>(expert_begin_.back())};
  }
  std::span<const int32_t> expert_begin() const { return expert_begin_; }

 private:
  int32_t first_expert_;
  int32_t num_experts_;
  int64_t num_tokens_ = 0;              // received: tokens with at least one expert here
  size_t num_slots_ = 0;                // added: all slots of all senders
  std::vector<int32_t> slot_expert_;    // [slots]; local index or −1
  std::vector<int32_t> slot_token_;     // [slots]; received token of the slot
  std::vector<int32_t> pair_of_slot_;   // [slots]
  std::vector<int32_t> pair_token_;     // [pairs]
  std::vector<int32_t> expert_begin_;   // [experts + 1]
  std::vector<int32_t> expert_cursor_;  // [experts]
};

}  // namespace tessera
