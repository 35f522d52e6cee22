#include "scheduler/rank_planner.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tessera {

namespace {

bool Precedes(const OpenRequest* a, const OpenRequest* b) { return a->precedence < b->precedence; }

}  // namespace

StepCounts& StepCounts::operator+=(const StepCounts& other) {
  num_tokens += other.num_tokens;
  num_prompt_tokens += other.num_prompt_tokens;
  num_cached_prompt_tokens += other.num_cached_prompt_tokens;
  num_prefill_tokens += other.num_prefill_tokens;
  num_sampling_slices += other.num_sampling_slices;
  num_prefix_queries += other.num_prefix_queries;
  num_prefix_hits += other.num_prefix_hits;
  num_prefix_collisions += other.num_prefix_collisions;
  return *this;
}

RankPlanner::RankPlanner(const RankPolicy& policy)
    : policy_(policy), cache_(policy.num_blocks, policy.block_tokens), budget_left_(policy.step_tokens_max) {}

int32_t RankPlanner::NumBlocks(int64_t num_tokens) const {
  return static_cast<int32_t>((num_tokens + policy_.block_tokens - 1) / policy_.block_tokens);
}

int32_t RankPlanner::NumBlocksAtStart(const OpenRequest& request) const {
  if (IsProtected(request)) return NumBlocks(request.num_positions);
  return NumBlocks(static_cast<int64_t>(request.request.prompt.size() + request.request.generated.size()));
}

// The prompt's last token is always run, for its logits; log probabilities of the prompt need all of them.
int32_t RankPlanner::NumBlocksToLookUp(const OpenRequest& request) const {
  if (request.block_keys.empty() || request.wants_prompt_logprobs()) return 0;
  return static_cast<int32_t>((request.request.prompt.size() - 1) / static_cast<size_t>(policy_.block_tokens));
}

bool RankPlanner::IsProtected(const OpenRequest& request) const {
  return request.num_preemptions >= policy_.preemptions_max;
}

void RankPlanner::PlanRunning(int64_t step, int32_t draft_tokens, std::vector<OpenRequest*>& preempted) {
  ShareComputedBlocks();
  plan_.step = step;
  counts_ = {};
  budget_left_ = policy_.step_tokens_max;
  const auto num_running = static_cast<int32_t>(running_.size());
  draft_tokens_ = draft_tokens;
  drafts_max_ = num_running == 0 ? 0 : (budget_left_ - num_running) / 2 / num_running;
  num_growing_ = 0;
  num_prefill_left_ = 0;
  has_preempted_ = false;
  prefilling_.clear();
  plan_.slices.reserve(running_.size() + 1);
  for (size_t i = 0; i < running_.size(); ++i) {  // those after i may go
    OpenRequest& request = *running_[i];
    if (static_cast<int64_t>(request.block_table.size()) * policy_.block_tokens < request.num_positions) ++num_growing_;
    if (request.num_planned < request.num_known) {
      num_prefill_left_ += request.num_known - request.num_planned;
      prefilling_.push_back(&request);
    } else if (request.num_planned < request.num_positions) {
      PlanDecode(i, preempted);
    }
  }
  for (OpenRequest* request : prefilling_) {
    if (budget_left_ == 0) break;
    AddPrefillSlice(*request);
  }
}

// Of its prompt, once the planned steps have run: blocks whose last token too is followed by one that was computed,
// because the MTP layer's latent of a token needs the next one.
int32_t RankPlanner::NumShareable(const OpenRequest& request) const {
  const auto num_blocks = static_cast<int32_t>((request.num_planned - 1) / policy_.block_tokens);
  return std::min(num_blocks, request.num_blocks_to_share);
}

// What a step computes may be read by the steps planned after it.
void RankPlanner::ShareComputedBlocks() {
  for (OpenRequest* request : computed_) {
    const int32_t num_blocks = NumShareable(*request);
    request->shared = cache_.Register(request->prefix_query(), request->shared, num_blocks, request->block_table);
    if (request->shared.num_blocks < num_blocks) request->num_blocks_to_share = 0;
  }
  computed_.clear();
}

// How much of the request's prompt, of which `num_known` blocks are known, the step being planned adds.
int32_t RankPlanner::NumKnownSoon(const OpenRequest& request, int32_t num_known) const {
  int32_t num_soon = num_known;
  const auto index = static_cast<size_t>(num_known);
  for (const OpenRequest* other : computed_) {
    const int32_t num_blocks = std::min(NumShareable(*other), NumBlocksToLookUp(request));
    if (num_blocks <= num_soon || other->block_keys[index] != request.block_keys[index]) continue;
    int32_t num_equal = num_known;
    while (num_equal < num_blocks &&
           other->block_keys[static_cast<size_t>(num_equal)] == request.block_keys[static_cast<size_t>(num_equal)]) {
      ++num_equal;
    }
    num_soon = std::max(num_soon, num_equal);
  }
  return num_soon;
}

void RankPlanner::PlanDecode(size_t index, std::vector<OpenRequest*>& preempted) {
  OpenRequest& request = *running_[index];
  const size_t num_blocks = request.block_table.size();
  if (!ReserveNextPosition(index, preempted)) return;
  const int32_t num_drafts = ReserveDrafts(index, std::min(request.num_drafts, drafts_max_));
  if (request.block_table.size() > num_blocks) {
    const auto added = request.block_table.begin() + static_cast<std::ptrdiff_t>(num_blocks);
    plan_.blocks.push_back({request.sequence, {added, request.block_table.end()}});
  }
  request.num_planned += 1;
  request.drafts_of_step(plan_.step) = num_drafts;
  AddSlice(request, 1 + num_drafts);
}

bool RankPlanner::ReserveNextPosition(size_t index, std::vector<OpenRequest*>& preempted) {
  OpenRequest& request = *running_[index];
  const int64_t end = std::min(request.num_planned_max() + 1, request.num_positions);
  if (end <= static_cast<int64_t>(request.block_table.size()) * policy_.block_tokens) return true;
  while (!cache_.TryAllocate(1, request.block_table)) {
    // Nobody of less precedence holds a block that may be taken: it sits this step out and keeps what it has. Those
    // before it and those that hold all their blocks go on, so that blocks come free.
    if (!PreemptOneAfter(index, preempted)) return false;
  }
  return true;
}

int32_t RankPlanner::ReserveDrafts(size_t index, int32_t num_wanted) {
  OpenRequest& request = *running_[index];
  const int64_t num_useful = std::min<int64_t>(num_wanted, request.num_positions - request.num_planned - 1);
  if (num_useful <= 0) return 0;
  const int64_t begin = request.num_planned_max() + 1;
  const int64_t end = std::min(begin + num_useful, request.num_positions);
  const int32_t num_missing = NumBlocks(end) - static_cast<int32_t>(request.block_table.size());
  if (num_missing <= 0) return static_cast<int32_t>(num_useful);
  const auto num_others = static_cast<int32_t>(running_.size() - index - 1);
  if (cache_.num_free() - num_missing >= num_others) {
    TESSERA_CHECK(cache_.TryAllocate(num_missing, request.block_table));
    return static_cast<int32_t>(num_useful);
  }
  return static_cast<int32_t>(static_cast<int64_t>(request.block_table.size()) * policy_.block_tokens - begin);
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

void RankPlanner::AddSlice(OpenRequest& request, int32_t num_tokens) {
  plan_.slices.push_back({request.sequence, num_tokens});
  budget_left_ -= num_tokens;
  counts_.num_tokens += num_tokens;
  request.last_step = plan_.step;
  if (request.num_planned >= request.num_known) {
    ++counts_.num_sampling_slices;
    request.num_drafts = draft_tokens_;
  }
  if (request.shared.num_blocks < request.num_blocks_to_share) computed_.push_back(&request);
}

void RankPlanner::AddPrefillSlice(OpenRequest& request) {
  const int64_t num_tokens =
      std::min<int64_t>({request.num_known - request.num_planned, policy_.prefill_chunk_tokens_max, budget_left_});
  request.num_planned += num_tokens;
  request.drafts_of_step(plan_.step) = 0;
  counts_.num_prefill_tokens += num_tokens;
  AddSlice(request, static_cast<int32_t>(num_tokens));
  num_prefill_left_ -= num_tokens;
  const int64_t num_prompt = std::min(request.num_planned, static_cast<int64_t>(request.request.prompt.size()));
  if (num_prompt > request.num_prompt_counted) {
    counts_.num_prompt_tokens += num_prompt - request.num_prompt_counted;
    request.num_prompt_counted = num_prompt;
  }
}

std::optional<RankOffer> RankPlanner::Offer(const OpenRequest& request) const {
  // After a preemption the rank is full: what came free belongs to the sequences that need it to go on.
  if (budget_left_ == 0 || has_preempted_) return std::nullopt;
  if (running_.size() >= static_cast<size_t>(policy_.running_max)) return std::nullopt;
  const int32_t num_blocks = NumBlocksAtStart(request);
  // Each sequence that may still grow finds its next block free, so that a start does not cause a preemption soon.
  const int32_t num_growing = num_growing_ + (num_blocks < NumBlocks(request.num_positions) ? 1 : 0);
  const int32_t num_to_spare = running_.empty() ? 0 : std::max(policy_.free_blocks_min, num_growing);
  const int32_t num_lookups = NumBlocksToLookUp(request);
  if (cache_.num_free() - (num_blocks - num_lookups) < num_to_spare) return std::nullopt;  // the best hit does not help
  const PrefixCache::Match match = cache_.Find(request.prefix_query(), num_lookups);
  const int32_t num_taken = num_blocks - match.position.num_blocks + match.num_unreferenced;
  if (cache_.num_free() - num_taken < num_to_spare) return std::nullopt;
  const int64_t num_cached = int64_t{match.position.num_blocks} * policy_.block_tokens;
  const auto num_known = static_cast<int64_t>(request.request.prompt.size() + request.request.generated.size());
  return RankOffer{
      .load = load() + num_known - num_cached,
      .num_running = static_cast<int32_t>(running_.size()),
      .num_cached_tokens = num_cached,
      .num_cached_tokens_soon = int64_t{NumKnownSoon(request, match.position.num_blocks)} * policy_.block_tokens};
}

void RankPlanner::Admit(OpenRequest& request, SequenceId sequence) {
  const Request& asked = request.request;
  request.state = OpenRequest::State::kRunning;
  request.sequence = sequence;
  request.num_known = static_cast<int64_t>(asked.prompt.size() + asked.generated.size());
  request.drafts_under_way = {};
  request.num_drafts = 0;
  TakeCachedBlocks(request);
  const int32_t num_blocks = NumBlocksAtStart(request);
  TESSERA_CHECK(cache_.TryAllocate(num_blocks - request.shared.num_blocks, request.block_table));
  if (num_blocks < NumBlocks(request.num_positions)) ++num_growing_;
  num_prefill_left_ += request.num_known - request.num_planned;
  running_.insert(std::upper_bound(running_.begin(), running_.end(), &request, Precedes), &request);

  plan_.added.push_back({.sequence = sequence,
                         .prompt = asked.prompt,
                         .generated = asked.generated,
                         .num_cached_tokens = static_cast<int32_t>(request.num_planned),
                         .sampling = asked.sampling,
                         .max_tokens = asked.max_tokens,
                         .min_tokens = asked.min_tokens,
                         .stop_tokens = asked.stop_tokens,
                         .skip_prompt_logprobs = !request.wants_prompt_logprobs()});
  plan_.blocks.push_back({sequence, request.block_table});
  AddPrefillSlice(request);
}

void RankPlanner::TakeCachedBlocks(OpenRequest& request) {
  const int32_t num_lookups = NumBlocksToLookUp(request);
  const PrefixCache::Match match = cache_.Share(request.prefix_query(), num_lookups, request.block_table);
  const int32_t num_cached_tokens = match.position.num_blocks * policy_.block_tokens;
  request.shared = match.position;
  request.num_blocks_to_share = static_cast<int32_t>(request.block_keys.size());
  request.num_planned = num_cached_tokens;
  if (num_lookups > 0) counts_.num_prefix_queries += static_cast<int64_t>(request.request.prompt.size());
  counts_.num_prefix_hits += num_cached_tokens;
  counts_.num_prefix_collisions += match.has_collided ? 1 : 0;
  if (request.num_preemptions > 0) return;
  request.num_cached_tokens = num_cached_tokens;
  request.num_prompt_counted = num_cached_tokens;
  counts_.num_cached_prompt_tokens += num_cached_tokens;
}

StepPlan RankPlanner::TakePlan() { return std::exchange(plan_, StepPlan{}); }

void RankPlanner::Remove(OpenRequest& request) {
  const auto position = std::lower_bound(running_.begin(), running_.end(), &request, Precedes);
  TESSERA_CHECK(position != running_.end() && *position == &request);
  running_.erase(position);
  Free(request);
}

void RankPlanner::Free(OpenRequest& request) {
  std::erase(computed_, &request);
  cache_.Release(request.block_table);
  request.block_table.clear();
  plan_.freed.push_back(request.sequence);
}

void RankPlanner::Distrust(const OpenRequest& request) { cache_.Forget(request.prefix_query()); }

// Tokens in its cache and tokens of prompts still to run: how much the rank has on hand.
int64_t RankPlanner::load() const { return int64_t{cache_.num_used()} * policy_.block_tokens + num_prefill_left_; }

}  // namespace tessera
