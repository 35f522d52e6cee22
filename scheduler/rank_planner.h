#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "scheduler/cache/prefix_cache.h"
#include "scheduler/contract/step_plan.h"
#include "scheduler/engine_config.h"
#include "scheduler/open_request.h"
#include "scheduler/rank_choice.h"

namespace tessera {

// What a planned step is made of.
struct StepCounts {
  int64_t num_tokens = 0;         // at most: as if every draft were accepted
  int64_t num_prompt_tokens = 0;  // of those, prompt tokens that run for the first time
  int64_t num_cached_prompt_tokens = 0;
  int64_t num_prefill_tokens = 0;  // those and the ones that are recomputed
  int64_t num_sampling_slices = 0;
  int64_t num_prefix_queries = 0;  // in tokens, as EngineStatus has them
  int64_t num_prefix_hits = 0;
  int64_t num_prefix_collisions = 0;

  StepCounts& operator+=(const StepCounts& other);
};

// One rank's running sequences and cache blocks, and its plan of the next step. Decode comes first, in order of
// precedence; prefill chunks fill the rest of the budget. A sequence gets the blocks of all its known tokens when it
// starts, shared ones as far as the prefix cache knows its prompt, and one more when a decode slice needs it; when none
// is left, the running sequence of least precedence is preempted. Blocks of an ended or preempted sequence can be given
// away at once, because the plan that gives them away also frees the sequence.
//
// How many drafts the worker will accept is not known when the next step is planned. A slice therefore starts anywhere
// between num_planned (none was accepted) and num_planned_max() (all were), and the blocks reach as far as the latter.
// Drafts only use what is to spare: at most half of the budget that decode leaves, and blocks that no running sequence
// needs for its next token.
//
// O(running sequences) a step; deterministic; not thread-safe.
class RankPlanner {
 public:
  explicit RankPlanner(const RankPolicy& policy);

  // One step, in this order. The plan is built up until it is taken; without a slice there is no need to take it.
  // `draft_tokens` are made by each slice that samples.
  void PlanRunning(int64_t step, int32_t draft_tokens, std::vector<OpenRequest*>& preempted);
  std::optional<RankOffer> Offer(const OpenRequest& request) const;  // nothing: there is no room for it
  void Admit(OpenRequest& request, SequenceId sequence);             // Requires an Offer().
  StepPlan TakePlan();  // its tokens_per_rank and draft_tokens are left to fill in

  // Between steps: a running request has ended.
  void Remove(OpenRequest& request);

  // The request's logits were not finite: nobody shall share what its prompt left in the cache.
  void Distrust(const OpenRequest& request);

  const StepCounts& counts() const { return counts_; }
  bool has_freed() const { return !plan_.freed.empty(); }
  size_t num_running() const { return running_.size(); }
  int32_t num_blocks_used() const { return cache_.num_used(); }

 private:
  int32_t NumBlocks(int64_t num_tokens) const;
  int32_t NumBlocksAtStart(const OpenRequest& request) const;
  int32_t NumBlocksToLookUp(const OpenRequest& request) const;
  bool IsProtected(const OpenRequest& request) const;
  int32_t NumShareable(const OpenRequest& request) const;
  int32_t NumKnownSoon(const OpenRequest& request, int32_t num_known) const;
  void ShareComputedBlocks();
  void PlanDecode(size_t index, std::vector<OpenRequest*>& preempted);
  bool ReserveNextPosition(size_t index, std::vector<OpenRequest*>& preempted);
  int32_t ReserveDrafts(size_t index, int32_t num_wanted);
  bool PreemptOneAfter(size_t index, std::vector<OpenRequest*>& preempted);
  void AddSlice(OpenRequest& request, int32_t num_tokens);
  void AddPrefillSlice(OpenRequest& request);
  void TakeCachedBlocks(OpenRequest& request);
  void Free(OpenRequest& request);
  int64_t load() const;

  const RankPolicy policy_;
  PrefixCache cache_;
  std::vector<OpenRequest*> running_;  // by precedence

  // The step being planned.
  StepPlan plan_;
  StepCounts counts_;
  int32_t budget_left_ = 0;
  int32_t draft_tokens_ = 0;
  int32_t drafts_max_ = 0;   // that one sequence may verify
  int32_t num_growing_ = 0;  // running sequences that may need more blocks than they have
  int64_t num_prefill_left_ = 0;
  bool has_preempted_ = false;
  std::vector<OpenRequest*> prefilling_;  // kept for its storage
  std::vector<OpenRequest*> computed_;    // whose prompt has blocks that the next step may share
};

}  // namespace tessera
