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

StepPlanner::StepPlanner(const RankPolicy& policy, int32_t num_ranks, Find find)
    : policy_(policy), find_(std::move(find)) {
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

void StepPlanner::Distrust(const OpenRequest& request) {
  if (request.rank >= 0) ranks_[static_cast<size_t>(request.rank)].Distrust(request);
}

std::optional<PlannedStep> StepPlanner::Plan(int64_t step, int32_t draft_tokens, bool may_be_empty) {
  started_.clear();
  preempted_.clear();
  for (RankPlanner& rank : ranks_) rank.PlanRunning(step, draft_tokens, preempted_);
  StartWaiting();

  PlannedStep planned;
  std::vector<int32_t> tokens_per_rank;
  for (const RankPlanner& rank : ranks_) {
    tokens_per_rank.push_back(static_cast<int32_t>(rank.counts().num_tokens));
    planned.counts += rank.counts();
  }
  if (planned.counts.num_tokens == 0 && !(may_be_empty && has_freed())) return std::nullopt;
  planned.draft_tokens = planned.counts.num_sampling_slices > 0 ? draft_tokens : 0;
  for (RankPlanner& rank : ranks_) {  // those without a token too: all ranks step together
    planned.plans.push_back(rank.TakePlan());
    planned.plans.back().tokens_per_rank = tokens_per_rank;
    planned.plans.back().draft_tokens = planned.draft_tokens;
  }
  return planned;
}

void StepPlanner::StartWaiting() {
  while (!waiting_.empty()) {
    OpenRequest& request = find_(waiting_.Front());
    const std::optional<size_t> rank = ChooseRankFor(request);
    if (!rank.has_value()) return;
    request.precedence = waiting_.StartFront();
    request.rank = static_cast<int32_t>(*rank);
    ranks_[*rank].Admit(request, TakeSequenceId());
    started_.push_back(&request);
  }
}

std::optional<size_t> StepPlanner::ChooseRankFor(OpenRequest& request) {
  if (policy_.block_keys.has_value() && request.block_keys.empty()) {
    request.block_keys = BlockKeys(request.request.prompt, *policy_.block_keys);
  }
  offers_.clear();
  for (const RankPlanner& rank : ranks_) offers_.push_back(rank.Offer(request));
  if (IsWorthAStep(request)) {
    request.was_held_back = true;
    return std::nullopt;
  }
  return ChooseRank(offers_, int64_t{policy_.num_blocks} * policy_.block_tokens);
}

bool StepPlanner::IsWorthAStep(const OpenRequest& request) const {
  if (request.was_held_back) return false;
  int64_t num_cached = 0, num_cached_soon = 0;
  for (const std::optional<RankOffer>& offer : offers_) {
    if (!offer.has_value()) continue;
    num_cached = std::max(num_cached, offer->num_cached_tokens);
    num_cached_soon = std::max(num_cached_soon, offer->num_cached_tokens_soon);
  }
  return num_cached_soon > num_cached;
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
