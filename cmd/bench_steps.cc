#include "cmd/bench_steps.h"

#include <utility>
#include <vector>

#include "base/status_macros.h"

namespace tessera {

void BenchSteps::Submit(StepPlan plan) {
  const auto num_ranks = static_cast<size_t>(worker_.limits().num_ranks);
  plan.step = next_step_++;
  plan.tokens_per_rank.assign(num_ranks, 0);
  for (const Slice& slice : plan.slices) plan.tokens_per_rank[0] += slice.num_tokens;
  std::vector<StepPlan> plans(num_ranks);
  for (StepPlan& idle : plans) {
    idle.step = plan.step;
    idle.tokens_per_rank = plan.tokens_per_rank;
    idle.draft_tokens = plan.draft_tokens;
  }
  plans[0] = std::move(plan);
  worker_.Submit(std::move(plans));
}

absl::StatusOr<StepResult> BenchSteps::Receive() {
  TESSERA_ASSIGN_OR_RETURN(std::vector<StepResult> results, worker_.Receive());
  return std::move(results[0]);
}

}  // namespace tessera
