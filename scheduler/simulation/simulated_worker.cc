#include "scheduler/simulation/simulated_worker.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "scheduler/simulation/draws.h"

namespace tessera {

SimulatedWorker::SimulatedWorker(const SimulatedWorkerConfig& config, FakeClock& clock)
    : config_(config), clock_(clock), ranks_(static_cast<size_t>(config.limits.num_ranks)) {
  TESSERA_CHECK_OK(Validate(config.cost));
  TESSERA_CHECK(config.limits.vocab_size >= 2);
}

void SimulatedWorker::Submit(std::vector<StepPlan> plans) {
  TESSERA_CHECK(plans.size() == ranks_.size());
  StepUnderWay step{std::vector<StepResult>(plans.size()), absl::InfinitePast()};
  ++last_step_;
  absl::Duration slowest;
  for (size_t i = 0; i < plans.size(); ++i) {
    TESSERA_CHECK(plans[i].step == last_step_);
    TESSERA_CHECK(plans[i].draft_tokens == plans.front().draft_tokens);
    step.results[i].step = last_step_;
    slowest = std::max(slowest, config_.cost.Of(RunRank(ranks_[i], plans[i], step.results[i])));
  }
  for (StepResult& result : step.results) result.duration = slowest;
  last_end_ = std::max(last_end_, clock_.Now()) + slowest;
  busy_ += slowest;
  step.end = last_end_;
  under_way_.push_back(std::move(step));
}

absl::StatusOr<std::vector<StepResult>> SimulatedWorker::Receive() {
  TESSERA_CHECK(!under_way_.empty());
  StepUnderWay step = std::move(under_way_.front());
  under_way_.pop_front();
  clock_.Advance(std::max(absl::ZeroDuration(), step.end - clock_.Now()));
  return std::move(step.results);
}

int64_t SimulatedWorker::num_sequences() const {
  size_t count = 0;
  for (const Rank& rank : ranks_) count += rank.size();
  return static_cast<int64_t>(count);
}

StepWork SimulatedWorker::RunRank(Rank& rank, const StepPlan& plan, StepResult& result) const {
  for (const SequenceId id : plan.freed) TESSERA_CHECK(rank.erase(id) == 1);
  for (const AddedSequence& added : plan.added) Add(rank, added);
  for (const AppendedBlocks& appended : plan.blocks) {
    const auto sequence = rank.find(appended.sequence);
    TESSERA_CHECK(sequence != rank.end());
    sequence->second.num_blocks += static_cast<int64_t>(appended.blocks.size());
  }
  TESSERA_CHECK(rank.size() <= static_cast<size_t>(config_.limits.sequences_max));
  StepWork work;
  result.sequences.reserve(plan.slices.size());
  for (const Slice& slice : plan.slices) {
    const auto sequence = rank.find(slice.sequence);
    TESSERA_CHECK(sequence != rank.end());
    if (sequence->second.ended) continue;
    RunSlice(sequence->second, slice, work, result);
    sequence->second.num_drafts = plan.draft_tokens;
  }
  TESSERA_CHECK(work.num_prefill_tokens + work.num_decode_tokens <= config_.limits.step_tokens_max);
  if (!plan.slices.empty()) work.num_draft_passes = plan.draft_tokens;
  return work;
}

void SimulatedWorker::Add(Rank& rank, const AddedSequence& added) const {
  Sequence sequence;
  sequence.num_prompt = static_cast<int64_t>(added.prompt.size());
  sequence.num_generated = static_cast<int64_t>(added.generated.size());
  sequence.num_known = sequence.num_prompt + sequence.num_generated;
  sequence.num_run = added.num_cached_tokens;
  sequence.max_tokens = added.max_tokens;
  sequence.min_tokens = added.min_tokens;
  sequence.seed = added.sampling.seed;
  if (!added.stop_tokens.empty()) sequence.stop_token = added.stop_tokens.front();
  TESSERA_CHECK(sequence.num_run < sequence.num_known);
  TESSERA_CHECK(rank.emplace(added.sequence, sequence).second);
}

void SimulatedWorker::RunSlice(Sequence& sequence, const Slice& slice, StepWork& work, StepResult& result) const {
  SequenceResult brought{.sequence = slice.sequence};
  work.num_cache_tokens += sequence.num_run;
  int64_t num_tokens = 0;
  if (sequence.num_run < sequence.num_known) {
    TESSERA_CHECK(sequence.num_run + slice.num_tokens <= sequence.num_known);
    work.num_prefill_tokens += slice.num_tokens;
    sequence.num_run += slice.num_tokens;
    num_tokens = sequence.num_run == sequence.num_known ? 1 : 0;
  } else {
    const int64_t num_left = sequence.max_tokens - sequence.num_generated;
    const auto num_verified =
        static_cast<int32_t>(std::min<int64_t>({sequence.num_drafts, slice.num_tokens - 1, num_left - 1}));
    const int32_t num_accepted = NumAccepted(sequence, num_verified);
    work.num_decode_tokens += 1 + num_verified;
    num_tokens = 1 + num_accepted;
    sequence.num_run += num_tokens;
    result.drafts.resize(std::max(result.drafts.size(), static_cast<size_t>(num_verified)));
    for (int32_t i = 0; i < num_verified; ++i) {
      ++result.drafts[static_cast<size_t>(i)].num_drafted;
      if (i < num_accepted) ++result.drafts[static_cast<size_t>(i)].num_accepted;
    }
  }
  TESSERA_CHECK(sequence.num_run <= sequence.num_blocks * config_.limits.block_tokens);
  TESSERA_CHECK(sequence.num_run < config_.limits.context_tokens_max);
  if (num_tokens == 0) return;
  AppendTokens(sequence, num_tokens, brought);
  result.sequences.push_back(std::move(brought));
}

int32_t SimulatedWorker::NumAccepted(const Sequence& sequence, int32_t num_drafts) const {
  int32_t count = 0;
  while (count < num_drafts &&
         Draws::UniformAt(sequence.seed, sequence.num_generated + count) < config_.draft_acceptance) {
    ++count;
  }
  return count;
}

void SimulatedWorker::AppendTokens(Sequence& sequence, int64_t count, SequenceResult& brought) const {
  for (int64_t i = 0; i < count && !sequence.ended; ++i) {
    const bool stops = sequence.stop_token >= 0 && sequence.num_generated >= sequence.min_tokens;
    brought.tokens.push_back(stops ? sequence.stop_token : TokenAt(sequence.num_generated, config_.limits.vocab_size));
    ++sequence.num_generated;
    if (stops) {
      brought.finish = FinishReason::kStop;
    } else if (sequence.num_generated >= sequence.max_tokens) {
      brought.finish = FinishReason::kLength;
    }
    sequence.ended = brought.finish.has_value();
  }
}

}  // namespace tessera
