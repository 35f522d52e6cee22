#include "scheduler/rank_planner.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tessera {

namespace {

bool Precedes(const OpenRequest* a, const OpenRequest* b) { return a->precedence < b->precedence; }

}  // namespace

RankPlanner::RankPlanner(const RankPolicy& policy)
    : policy_(policy), blocks_(policy.num_blocks), budget_left_(policy.step_tokens_max) {}

int32_t RankPlanner::NumBlocks(int64_t num_tokens) const {
  return static_cast<int32_t>((num_tokens + policy_.block_tokens - 1) / policy_.block_tokens);
}

bool RankPlanner::IsProtected(const OpenRequest& request) const {
  return request.num_preemptions >= policy_.preemptions_max;
}

void RankPlanner::PlanRunning(int64_t step, std::vector<OpenRequest*>& preempted) {
  plan_.step = step;
  budget_left_ = policy_.step_tokens_max;
  num_growing_ = 0;
  num_prefill_left_ = 0;
  num_step_prompt_tokens_ = 0;
  has_preempted_ = false;
  prefilling_.clear();
  plan_.slices.reserve(running_.size() + 1);
  for (size_t i = 0; i < running_.size(); ++i) {  // those after i may go
    OpenRequest& request = *running_[i];
    if (static_cast<int64_t>(request.block_table.size()) * policy_.block_tokens < request.num_positions) ++num_growing_;
    if (request.num_planned < request.num_known) {
      num_prefill_left_ += request.num_known - request.num_planned;
      prefilling_.push_back(&request);
    } else if (request.num_planned < request.num_positions && HasBlockForNextToken(i, preempted)) {
      AddSlice(request, 1);
    }
  }
  for (OpenRequest* request : prefilling_) {
    if (budget_left_ == 0) break;
    AddPrefillSlice(*request);
  }
}

bool RankPlanner::HasBlockForNextToken(size_t index, std::vector<OpenRequest*>& preempted) {
  OpenRequest& request = *running_[index];
  const auto num_blocks = static_cast<int64_t>(request.block_table.size());
  if (request.num_planned < num_blocks * policy_.block_tokens) return true;
  while (!blocks_.TryAllocate(1, request.block_table)) {
    // Nobody of less precedence holds a block that may be taken: it sits this step out and keeps what it has. Those
    // before it and those that hold all their blocks go on, so that blocks come free.
    if (!PreemptOneAfter(index, preempted)) return false;
  }
  plan_.blocks.push_back({request.sequence, {request.block_table.back()}});
  return true;
}

bool RankPlanner::PreemptOneAfter(size_t index, std::vector<OpenRequest*>& preempted) {
  for (size_t i = running_.size() - 1; i > index; --i) {
    OpenRequest& request = *running_[i];
    if (IsProtected(request)) continue;
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    Free(request);
    request.state = OpenRequest::State::kPreempted;
    ++request.num_preemptions;
    has_preempted_ = true;
    preempted.push_back(&request);
    return true;
  }
  return false;
}

void RankPlanner::AddSlice(OpenRequest& request, int64_t num_tokens) {
  plan_.slices.push_back({request.sequence, static_cast<int32_t>(num_tokens)});
  budget_left_ -= static_cast<int32_t>(num_tokens);
  request.num_planned += num_tokens;
  request.last_step = plan_.step;
}

void RankPlanner::AddPrefillSlice(OpenRequest& request) {
  const int64_t num_tokens =
      std::min<int64_t>({request.num_known - request.num_planned, policy_.prefill_chunk_tokens_max, budget_left_});
  AddSlice(request, num_tokens);
  num_prefill_left_ -= num_tokens;
  const int64_t num_prompt = std::min(request.num_planned, static_cast<int64_t>(request.request.prompt.size()));
  if (num_prompt > request.num_prompt_counted) {
    num_step_prompt_tokens_ += num_prompt - request.num_prompt_counted;
    request.num_prompt_counted = num_prompt;
  }
}

bool RankPlanner::CanAdmit(const OpenRequest& request) const {
  // After a preemption the rank is full: what came free belongs to the sequences that need it to go on.
  if (budget_left_ == 0 || has_preempted_) return false;
  if (running_.size() >= static_cast<size_t>(policy_.running_max)) return false;
  const auto num_known = static_cast<int64_t>(request.request.prompt.size() + request.request.generated.size());
  const int32_t num_now = NumBlocks(IsProtected(request) ? request.num_positions : num_known);
  const int32_t num_left = blocks_.num_free() - num_now;
  if (running_.empty()) return num_left >= 0;
  // Each sequence that may still grow finds its next block free, so that a start does not cause a preemption soon.
  const int32_t num_growing = num_growing_ + (num_now < NumBlocks(request.num_positions) ? 1 : 0);
  return num_left >= std::max(policy_.free_blocks_min, num_growing);
}

void RankPlanner::Admit(OpenRequest& request, SequenceId sequence) {
  const Request& asked = request.request;
  request.state = OpenRequest::State::kRunning;
  request.sequence = sequence;
  request.num_known = static_cast<int64_t>(asked.prompt.size() + asked.generated.size());
  request.num_planned = 0;
  const int32_t num_blocks = NumBlocks(IsProtected(request) ? request.num_positions : request.num_known);
  TESSERA_CHECK(blocks_.TryAllocate(num_blocks, request.block_table));
  if (num_blocks < NumBlocks(request.num_positions)) ++num_growing_;
  num_prefill_left_ += request.num_known;
  running_.insert(std::upper_bound(running_.begin(), running_.end(), &request, Precedes), &request);

  const auto num_prompt_logprobs = static_cast<int64_t>(asked.prompt.size()) - 1;
  plan_.added.push_back({.sequence = sequence,
                         .prompt = asked.prompt,
                         .generated = asked.generated,
                         .sampling = asked.sampling,
                         .max_tokens = asked.max_tokens,
                         .min_tokens = asked.min_tokens,
                         .stop_tokens = asked.stop_tokens,
                         .skip_prompt_logprobs = request.num_prompt_logprobs_delivered >= num_prompt_logprobs});
  plan_.blocks.push_back({sequence, request.block_table});
  AddPrefillSlice(request);
}

StepPlan RankPlanner::TakePlan() { return std::exchange(plan_, StepPlan{}); }

void RankPlanner::Remove(OpenRequest& request) {
  const auto position = std::lower_bound(running_.begin(), running_.end(), &request, Precedes);
  TESSERA_CHECK(position != running_.end() && *position == &request);
  running_.erase(position);
  Free(request);
}

void RankPlanner::Free(OpenRequest& request) {
  blocks_.Release(request.block_table);
  request.block_table.clear();
  plan_.freed.push_back(request.sequence);
}

int64_t RankPlanner::load() const { return int64_t{blocks_.num_used()} * policy_.block_tokens + num_prefill_left_; }

}  // namespace tessera
