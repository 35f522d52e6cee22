#include "worker/placement/expert_load.h"

#include <algorithm>

#include "base/check.h"

namespace tessera {

ExpertLoad::ExpertLoad(int32_t num_layers, int32_t n_routed_experts)
    : num_layers_(num_layers),
      n_routed_experts_(static_cast<size_t>(n_routed_experts)),
      counts_(static_cast<size_t>(num_layers) * n_routed_experts_, 0) {}

void ExpertLoad::Clear() { std::fill(counts_.begin(), counts_.end(), 0); }

AverageLoad::AverageLoad(int32_t num_layers, int32_t n_routed_experts, double weight_of_new)
    : n_routed_experts_(static_cast<size_t>(n_routed_experts)),
      weight_of_new_(weight_of_new),
      average_(static_cast<size_t>(num_layers) * n_routed_experts_, 0.0) {
  TESSERA_CHECK(weight_of_new > 0 && weight_of_new <= 1);
}

void AverageLoad::Add(std::span<const int64_t> counts) {
  TESSERA_CHECK(counts.size() == average_.size());
  const double weight = is_empty_ ? 1.0 : weight_of_new_;
  is_empty_ = false;
  for (size_t i = 0; i < counts.size(); ++i) average_[i] += weight * (static_cast<double>(counts[i]) - average_[i]);
}

}  // namespace tessera
