#include "scheduler/engine_loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "scheduler/warm_up.h"

namespace tessera {
namespace {

constexpr size_t kStepsUnderWayMax = 2;  // one runs, the next is planned

absl::Status Check(const Request& request, const WorkerLimits& limits) {
  TESSERA_RETURN_IF_ERROR(Validate(request, limits.vocab_size));
  return CheckFits(request, limits);
}

}  // namespace

EngineLoop::EngineLoop(const EngineConfig& config, const Clock& clock, WorkerPort& worker, TokenSink& sink)
    : clock_(clock),
      worker_(worker),
      sink_(sink),
      inbox_(ToQueueLimits(config)),
      planner_(ToRankPolicy(config, worker.limits()), worker.limits().num_ranks,
               [this](RequestId id) -> OpenRequest& { return Find(id); }) {
  TESSERA_CHECK_OK(Validate(config, worker.limits()));
  current_.reason = "starting: no forward pass has run yet";
  current_.num_blocks_total = int64_t{worker.limits().num_ranks} * worker.limits().num_blocks;
  Publish();
}

absl::Status EngineLoop::Submit(Request request) {
  if (request.arrival == absl::InfinitePast()) request.arrival = clock_.Now();
  absl::Status status = Check(request, worker_.limits());
  if (status.ok()) status = inbox_.Submit(std::move(request));
  if (!status.ok()) {
    const MutexLock lock(mutex_);
    ++num_refused_;
  }
  return status;
}

void EngineLoop::Cancel(RequestId id) { inbox_.Cancel(id); }

EngineLimits EngineLoop::limits() const {
  const WorkerLimits& limits = worker_.limits();
  return {.context_tokens_max = limits.context_tokens_max,
          .cache_tokens_per_rank = int64_t{limits.num_blocks} * limits.block_tokens,
          .vocab_size = limits.vocab_size,
          .num_ranks = limits.num_ranks,
          .block_tokens = limits.block_tokens,
          .num_blocks_per_rank = limits.num_blocks};
}

EngineStatus EngineLoop::Status() const {
  EngineStatus status;
  {
    const MutexLock lock(mutex_);
    status = status_;
    status.num_refused = num_refused_;
    if (draining_ && status.ready) {
      status.ready = false;
      status.reason = "draining";
    }
  }
  status.num_waiting = inbox_.num_waiting();
  status.num_waiting_tokens = inbox_.num_waiting_tokens();
  return status;
}

void EngineLoop::Drain() {
  inbox_.Close(absl::UnavailableError("draining: no new requests are taken"));
  const MutexLock lock(mutex_);
  draining_ = true;
}

void EngineLoop::Stop() { inbox_.Stop(); }

absl::Status EngineLoop::WarmUp() {
  TESSERA_CHECK(open_.empty() && under_way_.empty());
  const SequenceId first_sequence = planner_.TakeSequenceId();
  for (int32_t rank = 1; rank < worker_.limits().num_ranks; ++rank) planner_.TakeSequenceId();
  const absl::Status status = WarmUpWorkers(worker_, next_step_, first_sequence);
  next_step_ += kWarmUpSteps;
  if (status.ok()) {
    current_.ready = true;
    current_.reason.clear();
    current_.num_steps += kWarmUpSteps;
    current_.last_progress = clock_.Now();
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
  current_.ready = false;
  if (broken_.ok()) current_.reason = "stopped";
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
  std::optional<PlannedStep> planned = planner_.Plan(next_step_, /*may_be_empty=*/under_way_.empty());
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
    ++current_.num_preemptions;
    request->num_queued_tokens =
        static_cast<int64_t>(request->request.prompt.size() + request->request.generated.size());
    ++change_.num_requests;
    change_.num_tokens += request->num_queued_tokens;
  }
  under_way_.push_back({next_step_, planned->num_tokens, planned->num_prompt_tokens});
  ++next_step_;
  worker_.Submit(std::move(planned->plans));
  return true;
}

void EngineLoop::ReceiveStep() {
  absl::StatusOr<std::vector<StepResult>> results = worker_.Receive();
  absl::Status status = results.status();
  if (status.ok()) status = CheckResults(*results);
  if (!status.ok()) return Break(status);
  const StepUnderWay step = under_way_.front();
  under_way_.pop_front();
  CountStep(step);
  for (StepResult& rank : *results) {
    for (SequenceResult& result : rank.sequences) {
      if (status = Apply(result); !status.ok()) return Break(status);
    }
  }
  RequeuePreempted(step.step);
}

absl::Status EngineLoop::CheckResults(const std::vector<StepResult>& results) const {
  if (results.size() != static_cast<size_t>(worker_.limits().num_ranks)) {
    return absl::InternalError(absl::StrFormat("step %d: got results of %d ranks, wanted %d", under_way_.front().step,
                                               results.size(), worker_.limits().num_ranks));
  }
  for (size_t rank = 0; rank < results.size(); ++rank) {
    if (results[rank].step == under_way_.front().step) continue;
    return absl::InternalError(absl::StrFormat("rank %d: got the result of step %d, wanted that of step %d", rank,
                                               results[rank].step, under_way_.front().step));
  }
  return absl::OkStatus();
}

void EngineLoop::CountStep(const StepUnderWay& step) {
  current_.ready = true;
  current_.reason.clear();
  current_.last_progress = clock_.Now();
  ++current_.num_steps;
  current_.num_prompt_tokens += step.num_prompt_tokens;
  current_.num_step_tokens += step.num_tokens;
  if (step.num_tokens == 0) return;
  const auto bound = std::lower_bound(kStepTokensBounds.begin(), kStepTokensBounds.end(), step.num_tokens);
  ++current_.num_steps_by_tokens[static_cast<size_t>(bound - kStepTokensBounds.begin())];
}

absl::Status EngineLoop::Apply(SequenceResult& result) {
  const auto entry = sequences_.find(result.sequence);
  if (entry == sequences_.end()) return absl::OkStatus();  // cancelled or late: what it still brought is dropped
  OpenRequest& request = *entry->second;
  TESSERA_RETURN_IF_ERROR(CheckTokens(request, result));

  // A run after preemption may repeat log probabilities of the prompt that were delivered before.
  const auto num_prompt_logprobs = static_cast<int64_t>(result.prompt_logprobs.size());
  const int64_t num_repeated = std::clamp<int64_t>(
      request.num_prompt_logprobs_delivered - request.num_prompt_logprobs_seen, 0, num_prompt_logprobs);
  result.prompt_logprobs.erase(result.prompt_logprobs.begin(),
                               result.prompt_logprobs.begin() + static_cast<std::ptrdiff_t>(num_repeated));
  request.num_prompt_logprobs_seen += num_prompt_logprobs;
  request.num_prompt_logprobs_delivered += num_prompt_logprobs - num_repeated;

  current_.num_generated_tokens += static_cast<int64_t>(result.tokens.size());
  planner_.Charge(request, static_cast<int64_t>(result.tokens.size()));
  request.request.generated.insert(request.request.generated.end(), result.tokens.begin(), result.tokens.end());
  RequestTokens brought{.request = request.request.id,
                        .tokens = std::move(result.tokens),
                        .logprobs = std::move(result.logprobs),
                        .prompt_logprobs = std::move(result.prompt_logprobs),
                        .started = request.started};
  if (result.finish.has_value()) {
    if (result.finish == FinishReason::kError) ++current_.num_failed_numeric;
    End(request, *result.finish, std::move(result.status), std::move(brought));
  } else if (!brought.tokens.empty() || !brought.prompt_logprobs.empty()) {
    batch_.requests.push_back(std::move(brought));
  }
  return absl::OkStatus();
}

absl::Status EngineLoop::CheckTokens(const OpenRequest& request, const SequenceResult& result) const {
  const size_t num_generated = request.request.generated.size() + result.tokens.size();
  const auto max_tokens = static_cast<size_t>(request.request.max_tokens);
  if (num_generated > max_tokens || (num_generated == max_tokens && !result.finish.has_value())) {
    return absl::InternalError(absl::StrFormat("rank %d: sequence %d has %d tokens of at most %d and has not ended",
                                               request.rank, result.sequence.value, num_generated, max_tokens));
  }
  if ((result.finish == FinishReason::kError) == result.status.ok()) {
    return absl::InternalError(absl::StrFormat("rank %d: sequence %d: finish and status '%s' disagree", request.rank,
                                               result.sequence.value, result.status.ToString()));
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
  ++current_.num_finished[static_cast<size_t>(reason)];

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
  current_.ready = false;
  current_.reason = std::string(broken_.message());
  under_way_.clear();
  EndAll(broken_);
}

void EngineLoop::Publish() {
  current_.num_running = planner_.num_running();
  current_.num_blocks_used = planner_.num_blocks_used();
  inbox_.Apply(change_);
  change_.num_requests = 0;
  change_.num_tokens = 0;
  change_.ended.clear();
  {
    const MutexLock lock(mutex_);
    status_ = current_;
  }
  // Last, so that whoever sees a request's end sees a status without it.
  if (!batch_.requests.empty()) sink_.OnTokens(std::exchange(batch_, {}));
}

OpenRequest& EngineLoop::Find(RequestId id) {
  const auto entry = open_.find(id);
  TESSERA_CHECK(entry != open_.end());
  return *entry->second;
}

}  // namespace tessera
