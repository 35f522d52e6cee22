#include "scheduler/engine_loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "scheduler/contract/steps_under_way.h"
#include "scheduler/step_results.h"
#include "scheduler/warm_up.h"

namespace tessera {
namespace {

absl::Status Check(const Request& request, const WorkerLimits& limits) {
  TESSERA_RETURN_IF_ERROR(Validate(request, limits.vocab_size));
  return CheckFits(request, limits);
}

EngineLimits ToEngineLimits(const EngineConfig& config, const WorkerLimits& limits) {
  return {.context_tokens_max = limits.context_tokens_max,
          .cache_tokens_per_rank = int64_t{limits.num_blocks} * limits.block_tokens,
          .vocab_size = limits.vocab_size,
          .num_ranks = limits.num_ranks,
          .block_tokens = limits.block_tokens,
          .num_blocks_per_rank = limits.num_blocks,
          .has_prefix_cache = config.has_prefix_cache};
}

}  // namespace

EngineLoop::EngineLoop(const EngineConfig& config, const Clock& clock, WorkerPort& worker, TokenSink& sink)
    : limits_(ToEngineLimits(config, worker.limits())),
      clock_(clock),
      worker_(worker),
      sink_(sink),
      inbox_(ToQueueLimits(config)),
      planner_(ToRankPolicy(config, worker.limits()), worker.limits().num_ranks,
               [this](RequestId id) -> OpenRequest& { return Find(id); }),
      draft_tokens_(ToDraftTokens(config, worker.limits())) {
  TESSERA_CHECK_OK(Validate(config, worker.limits()));
  if (config.adapts_drafts) speculation_.emplace(SpeculationConfig{.draft_tokens_max = draft_tokens_});
  status_.current().reason = "starting: no forward pass has run yet";
  status_.current().num_blocks_total = int64_t{worker.limits().num_ranks} * worker.limits().num_blocks;
  Publish();
}

absl::Status EngineLoop::Submit(Request request) {
  if (request.arrival == absl::InfinitePast()) request.arrival = clock_.Now();
  absl::Status status = Check(request, worker_.limits());
  if (status.ok()) status = inbox_.Submit(std::move(request));
  if (!status.ok()) status_.CountRefused();
  return status;
}

void EngineLoop::Cancel(RequestId id) { inbox_.Cancel(id); }

EngineStatus EngineLoop::Status() const {
  EngineStatus status = status_.Read();
  status.num_waiting = inbox_.num_waiting();
  status.num_waiting_tokens = inbox_.num_waiting_tokens();
  return status;
}

void EngineLoop::Drain() {
  inbox_.Close(absl::UnavailableError("draining: no new requests are taken"));
  status_.SetDraining();
}

void EngineLoop::Stop() { inbox_.Stop(); }

absl::Status EngineLoop::WarmUp() {
  TESSERA_CHECK(open_.empty() && under_way_.empty());
  const SequenceId first_sequence = planner_.TakeSequenceId();
  for (int32_t rank = 1; rank < worker_.limits().num_ranks; ++rank) planner_.TakeSequenceId();
  const absl::Status status = WarmUpWorkers(worker_, next_step_, first_sequence);
  next_step_ += kWarmUpSteps;
  if (status.ok()) {
    EngineStatus& current = status_.current();
    current.ready = true;
    current.reason.clear();
    current.num_steps += kWarmUpSteps;
    current.last_progress = clock_.Now();
  } else {
    Break(status);
  }
  Publish();
  return status;
}

void EngineLoop::Run() {
  while (!inbox_.stopped()) {
    if (!RunOneStep()) inbox_.WaitForCommands();
  }
  inbox_.Close(absl::UnavailableError("the engine has stopped"));
  while (!under_way_.empty()) ReceiveStep();  // no step is left behind in the workers
  TakeCommands();
  EndAll(absl::UnavailableError("the engine was stopped"));
  if (broken_.ok() && SubmitStep()) ReceiveStep();  // and no sequence
  status_.current().ready = false;
  if (broken_.ok()) status_.current().reason = "stopped";
  Publish();
}

bool EngineLoop::RunOneStep() {
  TakeCommands();
  EndLateRequests();
  if (broken_.ok()) {
    const bool is_submitted = SubmitStep();
    if (!under_way_.empty() && (!is_submitted || under_way_.size() == kStepsUnderWayMax)) ReceiveStep();
  }
  Publish();
  return broken_.ok() && (!open_.empty() || !under_way_.empty() || planner_.has_freed());
}

void EngineLoop::TakeCommands() {
  inbox_.Take(commands_);
  for (Request& request : commands_.submissions) Accept(std::move(request));
  for (const RequestId id : commands_.cancellations) {
    if (open_.contains(id)) End(Find(id), FinishReason::kCancelled, absl::OkStatus());
  }
}

void EngineLoop::Accept(Request request) {
  const RequestId id = request.id;
  auto open = std::make_unique<OpenRequest>();
  open->precedence = {.priority = request.priority, .arrival = request.arrival, .request = id};
  open->num_positions = static_cast<int64_t>(request.prompt.size()) + request.max_tokens - 1;
  open->num_queued_tokens = static_cast<int64_t>(request.prompt.size() + request.generated.size());
  // What was generated elsewhere came after the prompt's log probabilities.
  if (!request.generated.empty()) open->num_prompt_logprobs_delivered = static_cast<int64_t>(request.prompt.size()) - 1;
  open->request = std::move(request);
  OpenRequest& added = *open;
  open_.emplace(id, std::move(open));
  planner_.AddWaiting(added);
  deadlines_.Add(added.request.deadline, id);
  if (!broken_.ok()) End(added, FinishReason::kError, broken_);  // it came while the group broke
}

void EngineLoop::EndLateRequests() {
  const absl::Time now = clock_.Now();
  while (const std::optional<RequestId> late = deadlines_.PopExpired(now)) {
    End(Find(*late), FinishReason::kDeadline, absl::OkStatus());
  }
}

bool EngineLoop::SubmitStep() {
  // Workers are told to forget ended sequences with the next tokens, or in a step of their own when all is quiet.
  const int32_t draft_tokens = speculation_ ? speculation_->DraftTokens(planner_.num_running()) : draft_tokens_;
  std::optional<PlannedStep> planned = planner_.Plan(next_step_, draft_tokens, /*may_be_empty=*/under_way_.empty());
  if (!planned.has_value()) {
    TESSERA_CHECK(open_.empty() || !under_way_.empty());  // otherwise it would wait for ever
    return false;
  }
  for (OpenRequest* request : planner_.started()) {
    sequences_.emplace(request->sequence, request);
    request->num_prompt_logprobs_seen = 0;
    if (request->started == absl::InfinitePast()) request->started = clock_.Now();
    --change_.num_requests;
    change_.num_tokens -= request->num_queued_tokens;
  }
  for (OpenRequest* request : planner_.preempted()) {
    preempted_.push_back(request);
    ++status_.current().num_preemptions;
    request->num_queued_tokens =
        static_cast<int64_t>(request->request.prompt.size() + request->request.generated.size());
    ++change_.num_requests;
    change_.num_tokens += request->num_queued_tokens;
  }
  under_way_.push_back({next_step_, planned->draft_tokens, planned->counts});
  ++next_step_;
  worker_.Submit(std::move(planned->plans));
  return true;
}

void EngineLoop::ReceiveStep() {
  absl::StatusOr<std::vector<StepResult>> results = worker_.Receive();
  absl::Status status = results.status();
  if (status.ok()) status = CheckResults(*results, under_way_.front().step, limits_.num_ranks);
  if (!status.ok()) return Break(status);
  const StepUnderWay step = under_way_.front();
  under_way_.pop_front();
  status_.CountStep(step.counts, clock_.Now());
  Measure(step, *results);
  for (StepResult& rank : *results) {
    status_.CountDrafts(rank);
    for (SequenceResult& result : rank.sequences) {
      if (status = Apply(result, step.step); !status.ok()) return Break(status);
    }
  }
  RequeuePreempted(step.step);
}

void EngineLoop::Measure(const StepUnderWay& step, const std::vector<StepResult>& results) {
  if (!speculation_) return;
  StepSample sample{.draft_tokens = step.draft_tokens, .num_prefill_tokens = step.counts.num_prefill_tokens};
  for (const StepResult& rank : results) {
    for (const SequenceResult& result : rank.sequences) {
      sample.num_decoding += result.tokens.empty() ? 0 : 1;
      sample.num_tokens += static_cast<int64_t>(result.tokens.size());
    }
    sample.duration = std::max(sample.duration, rank.duration);
  }
  speculation_->OnStep(sample);
}

absl::Status EngineLoop::Apply(SequenceResult& result, int64_t step) {
  const auto entry = sequences_.find(result.sequence);
  if (entry == sequences_.end()) return absl::OkStatus();  // cancelled or late: what it still brought is dropped
  OpenRequest& request = *entry->second;
  TESSERA_ASSIGN_OR_RETURN(RequestTokens brought, TakeResult(request, result, step));
  status_.current().num_generated_tokens += static_cast<int64_t>(brought.tokens.size());
  planner_.Charge(request, static_cast<int64_t>(brought.tokens.size()));
  if (result.finish.has_value()) {
    if (result.finish == FinishReason::kError) {
      ++status_.current().num_failed_numeric;
      planner_.Distrust(request);
    }
    End(request, *result.finish, std::move(result.status), std::move(brought));
  } else if (!brought.tokens.empty() || !brought.prompt_logprobs.empty()) {
    batch_.requests.push_back(std::move(brought));
  }
  return absl::OkStatus();
}

void EngineLoop::RequeuePreempted(int64_t received_step) {
  const auto kept = std::remove_if(preempted_.begin(), preempted_.end(), [&](OpenRequest* request) {
    if (request->last_step > received_step) return false;
    sequences_.erase(request->sequence);
    planner_.AddWaiting(*request);
    return true;
  });
  preempted_.erase(kept, preempted_.end());
}

void EngineLoop::End(OpenRequest& request, FinishReason reason, absl::Status status, RequestTokens last) {
  const RequestId id = request.request.id;
  last.request = id;
  last.finish = reason;
  last.status = std::move(status);
  batch_.requests.push_back(std::move(last));
  ++status_.current().num_finished[static_cast<size_t>(reason)];

  if (request.state != OpenRequest::State::kRunning) {
    --change_.num_requests;
    change_.num_tokens -= request.num_queued_tokens;
  }
  if (request.state == OpenRequest::State::kPreempted) std::erase(preempted_, &request);
  planner_.Remove(request);
  deadlines_.Remove(request.request.deadline, id);
  sequences_.erase(request.sequence);
  change_.ended.push_back(id);
  open_.erase(id);
}

void EngineLoop::EndAll(const absl::Status& status) {
  std::vector<RequestId> ids;
  for (const auto& [id, request] : open_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());  // the map's order differs from run to run
  for (const RequestId id : ids) End(Find(id), FinishReason::kError, status);
}

void EngineLoop::Break(const absl::Status& status) {
  broken_ = absl::UnavailableError(absl::StrFormat("the worker group is broken: %s", status.ToString()));
  inbox_.Close(broken_);
  status_.current().ready = false;
  status_.current().reason = std::string(broken_.message());
  under_way_.clear();
  EndAll(broken_);
}

void EngineLoop::Publish() {
  status_.current().num_running = planner_.num_running();
  status_.current().num_blocks_used = planner_.num_blocks_used();
  inbox_.Apply(change_);
  change_.num_requests = 0;
  change_.num_tokens = 0;
  change_.ended.clear();
  status_.Publish();
  // Last, so that whoever sees a request's end sees a status without it.
  if (!batch_.requests.empty()) sink_.OnTokens(std::exchange(batch_, {}));
}

OpenRequest& EngineLoop::Find(RequestId id) {
  const auto entry = open_.find(id);
  TESSERA_CHECK(entry != open_.end());
  return *entry->second;
}

}  // namespace tessera
