#include "scheduler/testing/fake_worker.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace tessera {
namespace {

constexpr size_t kStepsUnderWayMax = 2;

FakeModelOptions WithVocabulary(FakeModelOptions options, int32_t vocab_size) {
  options.vocab_size = vocab_size;
  return options;
}

}  // namespace

FakeWorker::FakeWorker(FakeWorkerOptions options)
    : options_(std::move(options)), model_(WithVocabulary(options_.model, options_.limits.vocab_size)) {
  ranks_.resize(static_cast<size_t>(options_.limits.num_ranks));
  for (Rank& rank : ranks_) rank.block_owners.resize(static_cast<size_t>(options_.limits.num_blocks));
}

size_t FakeWorker::num_blocks_owned(size_t rank) const {
  const std::vector<SequenceId>& owners = ranks_[rank].block_owners;
  return owners.size() - static_cast<size_t>(std::count(owners.begin(), owners.end(), SequenceId{}));
}

void FakeWorker::Submit(std::vector<StepPlan> plans) {
  TESSERA_CHECK(!broken_);
  TESSERA_CHECK(under_way_.size() < kStepsUnderWayMax);
  CheckStep(plans);
  ++last_step_;
  std::vector<StepResult> results(plans.size());
  for (size_t i = 0; i < plans.size(); ++i) {
    Rank& rank = ranks_[i];
    results[i].step = last_step_;
    rank.prefill_seen = false;
    for (const SequenceId id : plans[i].freed) Free(rank, id);
    for (const AddedSequence& added : plans[i].added) Add(rank, added);
    for (const AppendedBlocks& appended : plans[i].blocks) AppendBlocks(rank, appended);
    TESSERA_CHECK(rank.sequences.size() <= static_cast<size_t>(options_.limits.sequences_max));
    results[i].sequences.reserve(plans[i].slices.size());
    for (const Slice& slice : plans[i].slices) RunSlice(rank, slice, results[i]);
  }
  under_way_.push_back(std::move(results));
  if (options_.records_plans) plans_.push_back(std::move(plans));
}

absl::StatusOr<std::vector<StepResult>> FakeWorker::Receive() {
  TESSERA_CHECK(!under_way_.empty());
  TESSERA_CHECK(!broken_);
  const int64_t step = under_way_.front().front().step;
  if (options_.before_receive) options_.before_receive(step);
  if (step == options_.break_at_step) {
    broken_ = true;
    return absl::UnavailableError(absl::StrFormat("rank 0: connection lost in step %d", step));
  }
  std::vector<StepResult> results = std::move(under_way_.front());
  under_way_.pop_front();
  return results;
}

void FakeWorker::CheckStep(const std::vector<StepPlan>& plans) const {
  TESSERA_CHECK(plans.size() == ranks_.size());  // a rank without work takes part with zero tokens
  for (size_t i = 0; i < plans.size(); ++i) {
    const StepPlan& plan = plans[i];
    TESSERA_CHECK(plan.step == last_step_ + 1);
    const int32_t num_tokens = std::accumulate(plan.slices.begin(), plan.slices.end(), 0,
                                               [](int32_t sum, const Slice& slice) { return sum + slice.num_tokens; });
    TESSERA_CHECK(num_tokens <= options_.limits.step_tokens_max);
    for (const StepPlan& other : plans) {
      TESSERA_CHECK(other.tokens_per_rank.size() == plans.size());
      TESSERA_CHECK(other.tokens_per_rank[i] == num_tokens);
    }
  }
}

void FakeWorker::Free(Rank& rank, SequenceId id) {
  const auto sequence = rank.sequences.find(id);
  TESSERA_CHECK(sequence != rank.sequences.end());
  for (const BlockId block : sequence->second.blocks) rank.block_owners[static_cast<size_t>(block)] = SequenceId{};
  rank.sequences.erase(sequence);
}

void FakeWorker::Add(Rank& rank, const AddedSequence& added) {
  TESSERA_CHECK(added.sequence.value >= 0);
  TESSERA_CHECK(ids_seen_.emplace(added.sequence, true).second);
  TESSERA_CHECK(!added.prompt.empty());
  TESSERA_CHECK(added.num_cached_tokens == 0);
  TESSERA_CHECK(static_cast<int64_t>(added.generated.size()) < added.max_tokens);
  TESSERA_CHECK(static_cast<int64_t>(added.prompt.size()) + added.max_tokens <= options_.limits.context_tokens_max);
  Sequence sequence{.added = added};
  sequence.num_known = static_cast<int64_t>(added.prompt.size() + added.generated.size());
  for (const TokenId token : added.prompt) sequence.history_hash = FakeModel::Extend(sequence.history_hash, token);
  for (const TokenId token : added.generated) sequence.history_hash = FakeModel::Extend(sequence.history_hash, token);
  rank.sequences.emplace(added.sequence, std::move(sequence));
}

void FakeWorker::AppendBlocks(Rank& rank, const AppendedBlocks& appended) {
  const auto sequence = rank.sequences.find(appended.sequence);
  TESSERA_CHECK(sequence != rank.sequences.end());
  TESSERA_CHECK(!appended.blocks.empty());
  TESSERA_CHECK(sequence->second.last_blocks_step < last_step_);
  sequence->second.last_blocks_step = last_step_;
  for (const BlockId block : appended.blocks) {
    TESSERA_CHECK(block >= 0 && block < options_.limits.num_blocks);
    SequenceId& owner = rank.block_owners[static_cast<size_t>(block)];
    TESSERA_CHECK(owner == SequenceId{});
    owner = appended.sequence;
    sequence->second.blocks.push_back(block);
  }
}

void FakeWorker::RunSlice(Rank& rank, const Slice& slice, StepResult& result) {
  const auto entry = rank.sequences.find(slice.sequence);
  TESSERA_CHECK(entry != rank.sequences.end());
  Sequence& sequence = entry->second;
  TESSERA_CHECK(slice.num_tokens >= 1);
  TESSERA_CHECK(sequence.last_slice_step < last_step_);
  sequence.last_slice_step = last_step_;
  num_tokens_run_ += slice.num_tokens;
  if (sequence.ended) {
    ++num_wasted_slices_;
    return;
  }
  const bool is_prefill = sequence.num_run < sequence.num_known;
  if (is_prefill) {
    TESSERA_CHECK(sequence.num_run + slice.num_tokens <= sequence.num_known);
    rank.prefill_seen = true;
  } else {
    TESSERA_CHECK(slice.num_tokens == 1);
    TESSERA_CHECK(!rank.prefill_seen);
  }
  SequenceResult brought{.sequence = slice.sequence};
  AddPromptLogprobs(sequence, slice.num_tokens, brought);
  sequence.num_run += slice.num_tokens;
  TESSERA_CHECK(sequence.num_run <= static_cast<int64_t>(sequence.blocks.size()) * options_.limits.block_tokens);
  TESSERA_CHECK(sequence.num_run < options_.limits.context_tokens_max);
  if (sequence.num_run >= sequence.num_known) Sample(sequence, brought);
  const bool is_listed = !brought.tokens.empty() || brought.finish.has_value() || !brought.prompt_logprobs.empty();
  if (is_listed) result.sequences.push_back(std::move(brought));
}

void FakeWorker::AddPromptLogprobs(const Sequence& sequence, int64_t num_tokens, SequenceResult& result) const {
  const AddedSequence& added = sequence.added;
  if (added.sampling.num_prompt_logprobs < 0 || added.skip_prompt_logprobs) return;
  // Running position p brings the log probability of the prompt token at p + 1.
  const int64_t end = std::min(sequence.num_run + num_tokens + 1, static_cast<int64_t>(added.prompt.size()));
  for (int64_t position = sequence.num_run + 1; position < end; ++position) {
    result.prompt_logprobs.push_back(
        model_.Logprobs(added.prompt[static_cast<size_t>(position)], added.sampling.num_prompt_logprobs));
  }
}

void FakeWorker::Sample(Sequence& sequence, SequenceResult& result) const {
  AddedSequence& added = sequence.added;
  const FakeContext context = {added.prompt,   added.generated,   sequence.history_hash,
                               added.sampling, added.stop_tokens, added.min_tokens};
  if (!model_.IsFinite(context)) {
    result.finish = FinishReason::kError;
    result.status = absl::InternalError("the logits are not finite");
    sequence.ended = true;
    return;
  }
  const TokenId token = model_.NextToken(context);
  added.generated.push_back(token);
  sequence.history_hash = FakeModel::Extend(sequence.history_hash, token);
  result.tokens.push_back(token);
  if (added.sampling.num_logprobs >= 0) {
    result.logprobs.push_back(model_.Logprobs(token, added.sampling.num_logprobs));
  }
  if (std::find(added.stop_tokens.begin(), added.stop_tokens.end(), token) != added.stop_tokens.end()) {
    result.finish = FinishReason::kStop;
  } else if (static_cast<int64_t>(added.generated.size()) >= added.max_tokens) {
    result.finish = FinishReason::kLength;
  }
  sequence.ended = result.finish.has_value();
}

}  // namespace tessera
