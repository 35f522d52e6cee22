#include "scheduler/step_planner.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tessera {
namespace {

WaitingRequest ToWaiting(const OpenRequest& request) {
  return {request.precedence, request.request.client, static_cast<int64_t>(request.request.prompt.size())};
}

}  // namespace

StepPlanner::StepPlanner(const RankPolicy& policy, int32_t num_ranks, Find find) : find_(std::move(find)) {
  for (int32_t i = 0; i < num_ranks; ++i) ranks_.emplace_back(policy);
}

void StepPlanner::AddWaiting(OpenRequest& request) {
  request.state = OpenRequest::State::kWaiting;
  waiting_.Add(ToWaiting(request));
}

void StepPlanner::Remove(OpenRequest& request) {
  switch (request.state) {
    case OpenRequest::State::kWaiting:
      waiting_.Remove(ToWaiting(request));
      break;
    case OpenRequest::State::kRunning:
      ranks_[static_cast<size_t>(request.rank)].Remove(request);
      break;
    case OpenRequest::State::kPreempted:  // neither waits nor holds a block
      break;
  }
}

void StepPlanner::Charge(const OpenRequest& request, int64_t num_tokens) {
  waiting_.Charge(request.precedence.priority, request.request.client, num_tokens);
}

std::optional<PlannedStep> StepPlanner::Plan(int64_t step, bool may_be_empty) {
  started_.clear();
  preempted_.clear();
  for (RankPlanner& rank : ranks_) rank.PlanRunning(step, preempted_);
  StartWaiting();

  PlannedStep planned;
  std::vector<int32_t> tokens_per_rank;
  for (const RankPlanner& rank : ranks_) {
    tokens_per_rank.push_back(rank.num_step_tokens());
    planned.num_tokens += rank.num_step_tokens();
    planned.num_prompt_tokens += rank.num_step_prompt_tokens();
  }
  if (planned.num_tokens == 0 && !(may_be_empty && has_freed())) return std::nullopt;
  for (RankPlanner& rank : ranks_) {  // those without a token too: all ranks step together
    planned.plans.push_back(rank.TakePlan());
    planned.plans.back().tokens_per_rank = tokens_per_rank;
  }
  return planned;
}

void StepPlanner::StartWaiting() {
  while (!waiting_.empty()) {
    OpenRequest& request = find_(waiting_.Front());
    RankPlanner* rank = LeastLoadedFor(request);
    if (rank == nullptr) return;
    request.precedence = waiting_.StartFront();
    request.rank = static_cast<int32_t>(rank - ranks_.data());
    rank->Admit(request, TakeSequenceId());
    started_.push_back(&request);
  }
}

RankPlanner* StepPlanner::LeastLoadedFor(const OpenRequest& request) {
  RankPlanner* best = nullptr;
  for (RankPlanner& rank : ranks_) {  // on equal load the one with fewer sequences, then the first
    if (!rank.CanAdmit(request)) continue;
    if (best == nullptr || std::pair(rank.load(), rank.num_running()) < std::pair(best->load(), best->num_running())) {
      best = &rank;
    }
  }
  return best;
}

bool StepPlanner::has_freed() const {
  return std::any_of(ranks_.begin(), ranks_.end(), [](const RankPlanner& rank) { return rank.has_freed(); });
}

int32_t StepPlanner::num_running() const {
  size_t num_running = 0;
  for (const RankPlanner& rank : ranks_) num_running += rank.num_running();
  return static_cast<int32_t>(num_running);
}

int64_t StepPlanner::num_blocks_used() const {
  int64_t num_blocks = 0;
  for (const RankPlanner& rank : ranks_) num_blocks += rank.num_blocks_used();
  return num_blocks;
}

}  // namespace tessera
