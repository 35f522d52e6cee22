#include "scheduler/testing/fake_worker.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "scheduler/contract/steps_under_way.h"

namespace tessera {
namespace {

FakeModelOptions WithVocabulary(FakeModelOptions options, int32_t vocab_size) {
  options.vocab_size = vocab_size;
  return options;
}

}  // namespace

FakeWorker::FakeWorker(FakeWorkerOptions options)
    : options_(std::move(options)), model_(WithVocabulary(options_.model, options_.limits.vocab_size)) {
  ranks_.resize(static_cast<size_t>(options_.limits.num_ranks));
  const auto num_blocks = static_cast<size_t>(options_.limits.num_blocks);
  for (Rank& rank : ranks_) {
    rank.num_owners.resize(num_blocks);
    if (options_.tracks_contents) rank.contents.resize(num_blocks * static_cast<size_t>(options_.limits.block_tokens));
  }
}

size_t FakeWorker::num_blocks_owned(size_t rank) const {
  const std::vector<int32_t>& owners = ranks_[rank].num_owners;
  return owners.size() - static_cast<size_t>(std::count(owners.begin(), owners.end(), 0));
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
    rank.draft_tokens = plans[i].draft_tokens;
    for (const SequenceId id : plans[i].freed) Free(rank, id);
    for (const AddedSequence& added : plans[i].added) Add(rank, added);
    for (const AppendedBlocks& appended : plans[i].blocks) AppendBlocks(rank, appended);
    TESSERA_CHECK(rank.sequences.size() <= static_cast<size_t>(options_.limits.sequences_max));
    results[i].sequences.reserve(plans[i].slices.size());
    for (const Slice& slice : plans[i].slices) RunSlice(rank, slice, results[i]);
    if (options_.duration) results[i].duration = options_.duration(plans[i]);
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
    TESSERA_CHECK(plan.draft_tokens >= 0 && plan.draft_tokens <= options_.limits.draft_tokens_max);
    TESSERA_CHECK(plan.draft_tokens == plans[0].draft_tokens);
    for (const StepPlan& other : plans) {
      TESSERA_CHECK(other.tokens_per_rank.size() == plans.size());
      TESSERA_CHECK(other.tokens_per_rank[i] == num_tokens);
    }
  }
}

void FakeWorker::Free(Rank& rank, SequenceId id) {
  const auto sequence = rank.sequences.find(id);
  TESSERA_CHECK(sequence != rank.sequences.end());
  for (const BlockId block : sequence->second.blocks) --rank.num_owners[static_cast<size_t>(block)];
  rank.sequences.erase(sequence);
}

void FakeWorker::Add(Rank& rank, const AddedSequence& added) {
  TESSERA_CHECK(added.sequence.value >= 0);
  TESSERA_CHECK(ids_seen_.emplace(added.sequence, true).second);
  TESSERA_CHECK(!added.prompt.empty());
  TESSERA_CHECK(added.num_cached_tokens >= 0 && added.num_cached_tokens % options_.limits.block_tokens == 0);
  TESSERA_CHECK(added.num_cached_tokens < static_cast<int64_t>(added.prompt.size()));
  TESSERA_CHECK(static_cast<int64_t>(added.generated.size()) < added.max_tokens);
  TESSERA_CHECK(static_cast<int64_t>(added.prompt.size()) + added.max_tokens <= options_.limits.context_tokens_max);
  Sequence sequence{.added = added};
  sequence.num_known = static_cast<int64_t>(added.prompt.size() + added.generated.size());
  sequence.num_run = added.num_cached_tokens;
  for (int64_t i = 0; i < sequence.num_run; ++i) {
    sequence.history_hash = FakeModel::Extend(sequence.history_hash, added.prompt[static_cast<size_t>(i)]);
  }
  num_cached_tokens_ += added.num_cached_tokens;
  rank.sequences.emplace(added.sequence, std::move(sequence));
}

void FakeWorker::AppendBlocks(Rank& rank, const AppendedBlocks& appended) {
  const auto sequence = rank.sequences.find(appended.sequence);
  TESSERA_CHECK(sequence != rank.sequences.end());
  TESSERA_CHECK(!appended.blocks.empty());
  TESSERA_CHECK(sequence->second.last_blocks_step < last_step_);
  sequence->second.last_blocks_step = last_step_;
  std::vector<BlockId>& blocks = sequence->second.blocks;
  const bool is_first = blocks.empty();
  const auto num_cached = static_cast<size_t>(sequence->second.added.num_cached_tokens / options_.limits.block_tokens);
  for (const BlockId block : appended.blocks) {
    TESSERA_CHECK(block >= 0 && block < options_.limits.num_blocks);
    int32_t& num_owners = rank.num_owners[static_cast<size_t>(block)];
    TESSERA_CHECK(num_owners == 0 || blocks.size() < num_cached);
    ++num_owners;
    blocks.push_back(block);
  }
  if (is_first) CheckCachedTokens(rank, sequence->second);
}

int64_t FakeWorker::NumPositions(const Sequence& sequence) const {
  return static_cast<int64_t>(sequence.added.prompt.size()) + sequence.added.max_tokens - 1;
}

int64_t FakeWorker::NumSlots(const Sequence& sequence) const {
  return static_cast<int64_t>(sequence.blocks.size()) * options_.limits.block_tokens;
}

FakeWorker::Content* FakeWorker::ContentAt(Rank& rank, const Sequence& sequence, int64_t position) {
  if (rank.contents.empty()) return nullptr;
  const auto block_tokens = static_cast<size_t>(options_.limits.block_tokens);
  const auto index = static_cast<size_t>(position);
  const auto block = static_cast<size_t>(sequence.blocks[index / block_tokens]);
  return &rank.contents[block * block_tokens + index % block_tokens];
}

// Steps run in order, so what a sequence is told to find was computed by an earlier step.
void FakeWorker::CheckCachedTokens(Rank& rank, const Sequence& sequence) {
  TESSERA_CHECK(sequence.num_run <= NumSlots(sequence));
  uint64_t history_hash = 0;
  for (int64_t i = 0; i < sequence.num_run; ++i) {
    history_hash = FakeModel::Extend(history_hash, sequence.added.prompt[static_cast<size_t>(i)]);
    const Content* content = ContentAt(rank, sequence, i);
    if (content == nullptr) return;
    TESSERA_CHECK(content->history_hash == history_hash);
    TESSERA_CHECK(content->is_followed);
  }
}

void FakeWorker::CheckHistory(Rank& rank, const Sequence& sequence) {
  uint64_t history_hash = 0;
  const auto num_prompt = static_cast<int64_t>(sequence.added.prompt.size());
  for (int64_t i = 0; i < sequence.num_run; ++i) {
    const TokenId token = i < num_prompt ? sequence.added.prompt[static_cast<size_t>(i)]
                                         : sequence.added.generated[static_cast<size_t>(i - num_prompt)];
    history_hash = FakeModel::Extend(history_hash, token);
    const Content* content = ContentAt(rank, sequence, i);
    if (content == nullptr) return;
    TESSERA_CHECK(content->history_hash == history_hash);
  }
}

void FakeWorker::RunSlice(Rank& rank, const Slice& slice, StepResult& result) {
  const auto entry = rank.sequences.find(slice.sequence);
  TESSERA_CHECK(entry != rank.sequences.end());
  Sequence& sequence = entry->second;
  TESSERA_CHECK(slice.num_tokens >= 1);
  TESSERA_CHECK(sequence.last_slice_step < last_step_);
  sequence.last_slice_step = last_step_;
  if (sequence.ended) {
    num_tokens_run_ += slice.num_tokens;
    ++num_wasted_slices_;
    return;
  }
  SequenceResult brought{.sequence = slice.sequence};
  if (sequence.num_run < sequence.num_known) {
    RunPrefill(rank, sequence, slice, brought);
  } else {
    RunDecode(rank, sequence, slice, brought, result.drafts);
  }
  TESSERA_CHECK(sequence.num_run < options_.limits.context_tokens_max);
  if (sequence.ended) CheckHistory(rank, sequence);
  if (!sequence.ended && !brought.tokens.empty()) Draft(sequence, rank.draft_tokens);
  const bool is_listed = !brought.tokens.empty() || brought.finish.has_value() || !brought.prompt_logprobs.empty();
  if (is_listed) result.sequences.push_back(std::move(brought));
}

void FakeWorker::RunPrefill(Rank& rank, Sequence& sequence, const Slice& slice, SequenceResult& result) {
  rank.prefill_seen = true;
  TESSERA_CHECK(sequence.num_run + slice.num_tokens <= sequence.num_known);
  TESSERA_CHECK(sequence.num_run + slice.num_tokens <= NumSlots(sequence));
  AddPromptLogprobs(sequence, slice.num_tokens, result);
  const auto num_prompt = static_cast<int64_t>(sequence.added.prompt.size());
  for (int32_t i = 0; i < slice.num_tokens; ++i) {
    const int64_t position = sequence.num_run;
    RunRow(rank, sequence,
           position < num_prompt ? sequence.added.prompt[static_cast<size_t>(position)]
                                 : sequence.added.generated[static_cast<size_t>(position - num_prompt)]);
  }
  if (sequence.num_run == sequence.num_known) Sample(sequence, result);
}

void FakeWorker::RunDecode(Rank& rank, Sequence& sequence, const Slice& slice, SequenceResult& result,
                           std::vector<DraftCounts>& counts) {
  TESSERA_CHECK(!rank.prefill_seen);
  TESSERA_CHECK(slice.num_tokens <= 1 + options_.limits.draft_tokens_max);
  const int64_t num_positions = NumPositions(sequence);
  TESSERA_CHECK(std::min(sequence.num_run + slice.num_tokens, num_positions) <= NumSlots(sequence));
  const std::vector<TokenId> drafts = std::move(sequence.drafts);
  const int64_t num_drafts = std::min({static_cast<int64_t>(drafts.size()), static_cast<int64_t>(slice.num_tokens - 1),
                                       num_positions - sequence.num_run - 1});
  const int64_t num_run = sequence.num_run;
  counts.resize(std::max(counts.size(), static_cast<size_t>(num_drafts)));
  for (int64_t i = 0; i < num_drafts; ++i) ++counts[static_cast<size_t>(i)].num_drafted;
  for (int64_t i = 0; i <= num_drafts; ++i) {
    RunRow(rank, sequence, sequence.added.generated.back());
    const TokenId token = Sample(sequence, result);
    if (i == num_drafts || result.tokens.empty() || token != drafts[static_cast<size_t>(i)]) break;
    ++counts[static_cast<size_t>(i)].num_accepted;
    if (sequence.ended) break;
  }
  for (int64_t position = sequence.num_run; position <= num_run + num_drafts; ++position) {  // rejected drafts
    if (Content* content = ContentAt(rank, sequence, position)) *content = {};
    ++num_tokens_run_;
  }
}

void FakeWorker::RunRow(Rank& rank, Sequence& sequence, TokenId token) {
  const int64_t position = sequence.num_run;
  if (Content* content = ContentAt(rank, sequence, position)) {
    if (position > 0) {
      Content* previous = ContentAt(rank, sequence, position - 1);
      TESSERA_CHECK(previous->history_hash == sequence.history_hash);
      previous->is_followed = true;
    }
    *content = {.history_hash = FakeModel::Extend(sequence.history_hash, token)};
  }
  const auto block = static_cast<size_t>(position / options_.limits.block_tokens);
  TESSERA_CHECK(rank.num_owners[static_cast<size_t>(sequence.blocks[block])] == 1);  // nobody else reads it
  sequence.history_hash = FakeModel::Extend(sequence.history_hash, token);
  ++sequence.num_run;
  ++num_tokens_run_;
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

FakeContext FakeWorker::ContextOf(const Sequence& sequence) const {
  const AddedSequence& added = sequence.added;
  return {added.prompt, added.generated, sequence.history_hash, added.sampling, added.stop_tokens, added.min_tokens};
}

TokenId FakeWorker::Sample(Sequence& sequence, SequenceResult& result) const {
  AddedSequence& added = sequence.added;
  const FakeContext context = ContextOf(sequence);
  if (!model_.IsFinite(context)) {
    result.finish = FinishReason::kError;
    result.status = absl::InternalError("the logits are not finite");
    sequence.ended = true;
    return -1;
  }
  const TokenId token = model_.NextToken(context);
  added.generated.push_back(token);
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
  return token;
}

void FakeWorker::Draft(Sequence& sequence, int32_t num_drafts) const {
  sequence.drafts.clear();
  const size_t num_generated = sequence.added.generated.size();
  const uint64_t history_hash = sequence.history_hash;
  for (int32_t i = 0; i < num_drafts; ++i) {
    sequence.history_hash = FakeModel::Extend(sequence.history_hash, sequence.added.generated.back());
    const TokenId draft = model_.Draft(ContextOf(sequence));
    sequence.drafts.push_back(draft);
    sequence.added.generated.push_back(draft);
  }
  sequence.added.generated.resize(num_generated);
  sequence.history_hash = history_hash;
}

}  // namespace tessera
