#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/cache/block_allocator.h"
#include "scheduler/contract/step_plan.h"
#include "scheduler/engine_config.h"
#include "scheduler/open_request.h"

namespace tessera {

// One rank's running sequences and cache blocks, and its plan of the next step. Decode comes first, in order of
// precedence; prefill chunks fill the rest of the budget. A sequence gets the blocks of all its known tokens when it
// starts and one more when a decode slice needs it; when none is left, the running sequence of least precedence is
// preempted. Blocks of an ended or preempted sequence can be given away at once, because the plan that gives them away
// also frees the sequence. O(running sequences) a step; deterministic; not thread-safe.
class RankPlanner {
 public:
  explicit RankPlanner(const RankPolicy& policy);

  // One step, in this order. The plan is built up until it is taken; without a slice there is no need to take it.
  void PlanRunning(int64_t step, std::vector<OpenRequest*>& preempted);
  bool CanAdmit(const OpenRequest& request) const;
  void Admit(OpenRequest& request, SequenceId sequence);  // Requires CanAdmit().
  StepPlan TakePlan();                                    // its tokens_per_rank is left empty

  // Between steps: a running request has ended.
  void Remove(OpenRequest& request);

  // Tokens in its cache and tokens of prompts still to run: how much the rank has on hand.
  int64_t load() const;

  int32_t num_step_tokens() const { return policy_.step_tokens_max - budget_left_; }
  int64_t num_step_prompt_tokens() const { return num_step_prompt_tokens_; }  // first runs only
  bool has_freed() const { return !plan_.freed.empty(); }
  size_t num_running() const { return running_.size(); }
  int32_t num_blocks_used() const { return blocks_.num_used(); }

 private:
  int32_t NumBlocks(int64_t num_tokens) const;
  bool IsProtected(const OpenRequest& request) const;
  bool HasBlockForNextToken(size_t index, std::vector<OpenRequest*>& preempted);
  bool PreemptOneAfter(size_t index, std::vector<OpenRequest*>& preempted);
  void AddSlice(OpenRequest& request, int64_t num_tokens);
  void AddPrefillSlice(OpenRequest& request);
  void Free(OpenRequest& request);

  const RankPolicy policy_;
  BlockAllocator blocks_;
  std::vector<OpenRequest*> running_;  // by precedence

  // The step being planned.
  StepPlan plan_;
  int32_t budget_left_ = 0;
  int32_t num_growing_ = 0;  // running sequences that may need more blocks than they have
  int64_t num_prefill_left_ = 0;
  int64_t num_step_prompt_tokens_ = 0;
  bool has_preempted_ = false;
  std::vector<OpenRequest*> prefilling_;  // kept for its storage
};

}  // namespace tessera
