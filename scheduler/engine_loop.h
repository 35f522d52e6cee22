#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "scheduler/contract/engine_port.h"
#include "scheduler/contract/worker_port.h"
#include "scheduler/engine_config.h"
#include "scheduler/open_request.h"
#include "scheduler/policy/speculation_policy.h"
#include "scheduler/queue/deadline_queue.h"
#include "scheduler/queue/inbox.h"
#include "scheduler/status_board.h"
#include "scheduler/step_planner.h"

namespace tessera {

// Runs one worker group: requests in, token batches out. While a step runs on the workers the next one is planned, so a
// plan never depends on the tokens of the step before it: a sequence that turns out to have ended has one wasted slice,
// and what is learnt about ended or cancelled sequences shapes the plan after.
//
// The methods of EnginePort and Stop() may be called from any thread. All others belong to one thread, the engine's;
// the sink is called on it too. Nothing but the inbox and the published status is shared.
class EngineLoop final : public EnginePort {
 public:
  // Requires: Validate(config, worker.limits()) is OK. `clock`, `worker` and `sink` outlive the loop.
  EngineLoop(const EngineConfig& config, const Clock& clock, WorkerPort& worker, TokenSink& sink);

  absl::Status Submit(Request request) override;
  void Cancel(RequestId id) override;
  EngineLimits limits() const override { return limits_; }
  EngineStatus Status() const override;
  void Drain() override;

  // Makes Run() return soon; requests that are still open end with kError, Unavailable.
  void Stop();

  // Runs a tiny sequence on every rank; then Status() says ready. Without it the first step of a request does that.
  // Requires: nothing has run yet.
  absl::Status WarmUp();

  // Steps until Stop(); sleeps when there is nothing to do.
  void Run();

  // Takes commands, ends what is late, plans and submits one step, waits for the oldest step when two are under way or
  // nothing new could be planned, and reports what changed. Returns whether there is more to do.
  bool RunOneStep();

 private:
  struct StepUnderWay {
    int64_t step = 0;
    int32_t draft_tokens = 0;
    StepCounts counts;
  };

  void TakeCommands();
  void Accept(Request request);
  void EndLateRequests();
  bool SubmitStep();
  void ReceiveStep();
  absl::Status Apply(SequenceResult& result, int64_t step);
  void Measure(const StepUnderWay& step, const std::vector<StepResult>& results);
  void RequeuePreempted(int64_t received_step);
  void End(OpenRequest& request, FinishReason reason, absl::Status status, RequestTokens last = {});
  void EndAll(const absl::Status& status);
  void Break(const absl::Status& status);
  void Publish();
  OpenRequest& Find(RequestId id);

  const EngineLimits limits_;
  const Clock& clock_;
  WorkerPort& worker_;
  TokenSink& sink_;
  Inbox inbox_;

  // The engine thread's.
  absl::flat_hash_map<RequestId, std::unique_ptr<OpenRequest>> open_;
  absl::flat_hash_map<SequenceId, OpenRequest*> sequences_;  // those whose results still matter
  std::vector<OpenRequest*> preempted_;                      // results of their last slices still to come
  DeadlineQueue deadlines_;
  StepPlanner planner_;
  const int32_t draft_tokens_;
  std::optional<SpeculationPolicy> speculation_;  // none: always draft_tokens_
  std::deque<StepUnderWay> under_way_;            // oldest first; at most two
  int64_t next_step_ = 1;
  absl::Status broken_;  // OK while the group works
  Commands commands_;    // kept for its storage
  TokenBatch batch_;     // of the current call of RunOneStep
  QueueChange change_;   // likewise

  StatusBoard status_;
};

}  // namespace tessera
