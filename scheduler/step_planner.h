#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "scheduler/contract/step_plan.h"
#include "scheduler/engine_config.h"
#include "scheduler/open_request.h"
#include "scheduler/queue/waiting_queue.h"
#include "scheduler/rank_planner.h"

namespace tessera {

// A step of all ranks, ready to be handed to the workers.
struct PlannedStep {
  std::vector<StepPlan> plans;  // by rank
  StepCounts counts;            // of all ranks
  int32_t draft_tokens = 0;
};

// Plans the steps of a group: what runs goes on, then waiting requests start in the order of the queue, each on the
// rank that ChooseRank names. The first that no rank has room for holds back those behind it, so that a large request
// is not overtaken for ever. A request whose beginning is just being computed for another waits for that step, once:
// the choices of one prompt, and prompts that come together, are not all computed. Deterministic; not thread-safe.
class StepPlanner {
 public:
  using Find = std::function<OpenRequest&(RequestId)>;  // an open request by its id

  StepPlanner(const RankPolicy& policy, int32_t num_ranks, Find find);

  // The request waits: newly, or again after preemption.
  void AddWaiting(OpenRequest& request);

  // The request, waiting or running, has ended.
  void Remove(OpenRequest& request);

  // The request was given tokens: they count when its client's next request waits.
  void Charge(const OpenRequest& request, int64_t num_tokens);

  // The request has ended because its logits were not finite: what its prompt left in the cache is not to be used.
  void Distrust(const OpenRequest& request);

  // Nothing when no rank has a token to run; unless `may_be_empty` and workers are to forget ended sequences. Each
  // sequence that samples in the step gets `draft_tokens` drafts.
  std::optional<PlannedStep> Plan(int64_t step, int32_t draft_tokens, bool may_be_empty);

  // What the last Plan() changed.
  const std::vector<OpenRequest*>& started() const { return started_; }
  const std::vector<OpenRequest*>& preempted() const { return preempted_; }

  SequenceId TakeSequenceId() { return {next_sequence_++}; }
  bool has_waiting() const { return !waiting_.empty(); }
  bool has_freed() const;
  int32_t num_running() const;
  int64_t num_blocks_used() const;

 private:
  void StartWaiting();
  std::optional<size_t> ChooseRankFor(OpenRequest& request);
  bool IsWorthAStep(const OpenRequest& request) const;

  const RankPolicy policy_;
  const Find find_;
  std::vector<RankPlanner> ranks_;
  WaitingQueue waiting_;
  int64_t next_sequence_ = 0;
  std::vector<std::optional<RankOffer>> offers_;  // kept for its storage
  std::vector<OpenRequest*> started_;
  std::vector<OpenRequest*> preempted_;
};

}  // namespace tessera
