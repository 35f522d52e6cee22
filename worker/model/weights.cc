#include "worker/model/weights.h"

#include <utility>

namespace tessera {

void MoeWeights::ReplaceExperts(ExpertMap map, std::vector<MlpWeights> of_slots) {
  expert_map = std::move(map);
  experts = std::move(of_slots);
  expert_views.clear();
  for (const MlpWeights& expert : experts) expert_views.push_back(expert.view());
}

}  // namespace tessera
