#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

// How many tokens a rank sent to each routed expert of each MoE layer, by logical expert: what placements are computed
// from. One thread counts; it costs one addition a slot.
class ExpertLoad {
 public:
  ExpertLoad() = default;
  ExpertLoad(int32_t num_layers, int32_t n_routed_experts);

  // `experts`: all choices of the router for a batch of tokens. Requires: 0 ≤ layer < num_layers().
  void Add(int32_t layer, std::span<const int32_t> experts) {
    int64_t* counts = counts_.data() + static_cast<size_t>(layer) * n_routed_experts_;
    for (const int32_t expert : experts) ++counts[expert];
  }
  void Clear();

  int32_t num_layers() const { return num_layers_; }
  std::span<const int64_t> counts() const { return counts_; }  // [layers, n_routed_experts]
  std::span<const int64_t> layer(int32_t index) const {        // [n_routed_experts]
    return std::span(counts_).subspan(static_cast<size_t>(index) * n_routed_experts_, n_routed_experts_);
  }

 private:
  int32_t num_layers_ = 0;
  size_t n_routed_experts_ = 0;
  std::vector<int64_t> counts_;  // [layers, experts]
};

// The load of the recent past: a new interval counts `weight_of_new`, all before it the rest.
class AverageLoad {
 public:
  AverageLoad(int32_t num_layers, int32_t n_routed_experts, double weight_of_new);  // 0 < weight_of_new ≤ 1

  void Add(std::span<const int64_t> counts);  // of one interval, summed over the ranks: [layers, n_routed_experts]

  std::span<const double> layer(int32_t index) const {  // [n_routed_experts]
    return std::span(average_).subspan(static_cast<size_t>(index) * n_routed_experts_, n_routed_experts_);
  }

 private:
  size_t n_routed_experts_;
  double weight_of_new_;
  bool is_empty_ = true;
  std::vector<double> average_;  // [layers, experts]
};

}  // namespace tessera
