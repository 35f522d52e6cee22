#include "worker/step_runner.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "worker/cache/slot_mapping.h"
#include "worker/sample/logprobs.h"

namespace tessera {

StepRunner::StepRunner(const StepRunnerConfig& config, Model& model, PagedLatentCache& cache, ExpertExchange* exchange,
                       const Clock& clock)
    : config_(config),
      model_(model),
      cache_(cache),
      exchange_(exchange),
      clock_(clock),
      sequences_({.sequences_max = config.sequences_max,
                  .context_tokens_max = config.context_tokens_max,
                  .vocab_size = config.vocab_size},
                 cache),
      builder_(config.step_tokens_max, config.sequences_max),
      sampler_(config.vocab_size, config.valid_vocab),
      logits_(static_cast<size_t>(kLogitRowsMax) * static_cast<size_t>(config.vocab_size)) {
  slices_.reserve(static_cast<size_t>(config.sequences_max));
  jobs_.reserve(static_cast<size_t>(config.step_tokens_max));
  logit_rows_.reserve(kLogitRowsMax);
}

absl::StatusOr<StepResult> StepRunner::Run(StepPlan plan) {
  const absl::Time start = clock_.Now();
  TESSERA_RETURN_IF_ERROR(CheckPlan(plan));
  last_step_ = plan.step;
  TESSERA_RETURN_IF_ERROR(sequences_.Apply(plan));
  builder_.Clear();
  slices_.clear();
  jobs_.clear();
  for (const Slice& slice : plan.slices) TESSERA_RETURN_IF_ERROR(AddSlice(slice));
  const Batch batch = builder_.Build();
  if (exchange_ != nullptr) TESSERA_RETURN_IF_ERROR(exchange_->BeginStep(plan.step, plan.tokens_per_rank));
  TESSERA_RETURN_IF_ERROR(model_.Forward(batch, cache_));

  StepResult result{.step = plan.step};
  for (size_t i = 0; i < slices_.size(); ++i) AddLogitJobs(slices_[i], static_cast<int32_t>(i));
  TESSERA_RETURN_IF_ERROR(RunLogitJobs(result));
  result.duration = clock_.Now() - start;
  return result;
}

absl::Status StepRunner::CheckPlan(const StepPlan& plan) const {
  if (plan.step != last_step_ + 1) {
    return absl::FailedPreconditionError(
        absl::StrFormat("got plan %d, wanted %d: a plan was lost or repeated", plan.step, last_step_ + 1));
  }
  if (plan.tokens_per_rank.size() != static_cast<size_t>(config_.num_ranks)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("tokens_per_rank: got %d entries, wanted one for each of %d ranks", plan.tokens_per_rank.size(),
                        config_.num_ranks));
  }
  int64_t num_tokens = 0;
  for (const Slice& slice : plan.slices) {
    if (slice.num_tokens < 1) {
      return absl::InvalidArgumentError(absl::StrFormat("sequence %d: got a slice of %d tokens, wanted at least 1",
                                                        slice.sequence.value, slice.num_tokens));
    }
    num_tokens += slice.num_tokens;
  }
  const int32_t promised = plan.tokens_per_rank[static_cast<size_t>(config_.rank)];
  if (num_tokens != promised || num_tokens > config_.step_tokens_max) {
    return absl::InvalidArgumentError(
        absl::StrFormat("slices: got %d tokens, wanted the %d of tokens_per_rank, at most %d", num_tokens, promised,
                        config_.step_tokens_max));
  }
  return absl::OkStatus();
}

absl::Status StepRunner::AddSlice(const Slice& slice) {
  SequenceState* sequence = sequences_.Find(slice.sequence);
  if (sequence == nullptr) {
    return absl::InvalidArgumentError(absl::StrFormat("slice of sequence %d, which is not here", slice.sequence.value));
  }
  if (sequence->ended) return absl::OkStatus();  // planned before the scheduler could know
  if (sequence->last_step == last_step_) {
    return absl::InvalidArgumentError(
        absl::StrFormat("sequence %d: got two slices, wanted at most one", slice.sequence.value));
  }
  sequence->last_step = last_step_;
  const int32_t left = sequence->num_tokens() - sequence->num_computed;
  const int64_t covered = static_cast<int64_t>(sequence->block_table.size()) * kBlockTokens;
  if (slice.num_tokens > left || sequence->num_computed + slice.num_tokens > covered) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "sequence %d: got a slice of %d tokens after %d, wanted at most the %d left, within the %d of its blocks",
        slice.sequence.value, slice.num_tokens, sequence->num_computed, left, covered));
  }
  const auto begin = static_cast<size_t>(sequence->num_computed);
  builder_.Add({.tokens = std::span(sequence->tokens).subspan(begin, static_cast<size_t>(slice.num_tokens)),
                .first_index = sequence->num_computed,
                .num_prompt = sequence->num_prompt,
                .block_table = sequence->block_table});
  slices_.push_back({.sequence = sequence, .num_tokens = slice.num_tokens});
  sequence->num_computed += slice.num_tokens;
  return absl::OkStatus();
}

void StepRunner::AddLogitJobs(const RunningSlice& slice, int32_t index) {
  SequenceState& sequence = *slice.sequence;
  const int32_t first = sequence.num_computed - slice.num_tokens;
  for (int32_t offset = 0; offset < slice.num_tokens; ++offset) {
    const int32_t target = first + offset + 1;
    const bool samples = target == sequence.num_tokens();
    if (!samples && !(sequence.wants_prompt_logprobs && target < sequence.num_prompt)) continue;
    jobs_.push_back({.row = builder_.RowOf(index, offset), .target = target, .sequence = &sequence});
  }
}

absl::Status StepRunner::RunLogitJobs(StepResult& result) {
  const auto vocab = static_cast<size_t>(config_.vocab_size);
  for (size_t begin = 0; begin < jobs_.size(); begin += kLogitRowsMax) {
    const size_t count = std::min(jobs_.size() - begin, static_cast<size_t>(kLogitRowsMax));
    logit_rows_.clear();
    for (size_t i = 0; i < count; ++i) logit_rows_.push_back(jobs_[begin + i].row);
    TESSERA_RETURN_IF_ERROR(
        model_.Logits(logit_rows_, {logits_.data(), {static_cast<int64_t>(count), config_.vocab_size}}));
    for (size_t i = 0; i < count; ++i) {
      FinishJob(jobs_[begin + i], std::span<const float>(logits_).subspan(i * vocab, vocab), result);
    }
  }
  return absl::OkStatus();
}

void StepRunner::FinishJob(const LogitJob& job, std::span<const float> logits, StepResult& result) {
  SequenceState& sequence = *job.sequence;
  if (sequence.ended) return;  // by an earlier row of this step
  if (job.target == sequence.num_tokens()) {
    Sample(sequence, logits, result);
    return;
  }
  SequenceResult& mine = ResultOf(sequence, result);
  if (!AllFinite(logits)) {
    sequence.ended = true;
    mine.finish = FinishReason::kError;
    mine.status = absl::InternalError(absl::StrFormat("the logits for prompt position %d are not finite", job.target));
    return;
  }
  mine.prompt_logprobs.push_back(LogprobsOf(logits, config_.valid_vocab,
                                            sequence.tokens[static_cast<size_t>(job.target)],
                                            sequence.sampling.num_prompt_logprobs));
}

void StepRunner::Sample(SequenceState& sequence, std::span<const float> logits, StepResult& result) {
  SequenceResult& mine = ResultOf(sequence, result);
  SampleContext context{.params = &sequence.sampling,
                        .counts = sequence.counts ? &*sequence.counts : nullptr,
                        .position = sequence.num_tokens()};
  if (sequence.num_generated() < sequence.min_tokens) context.banned = sequence.stop_tokens;
  const absl::StatusOr<TokenId> token = sampler_.Sample(logits, context);
  if (!token.ok()) {
    sequence.ended = true;
    mine.finish = FinishReason::kError;
    mine.status = token.status();
    return;
  }
  sequence.tokens.push_back(*token);
  if (sequence.counts) sequence.counts->AddGenerated(*token);
  mine.tokens.push_back(*token);
  if (sequence.sampling.num_logprobs >= 0) {
    mine.logprobs.push_back(LogprobsOf(logits, config_.valid_vocab, *token, sequence.sampling.num_logprobs));
  }
  if (std::binary_search(sequence.stop_tokens.begin(), sequence.stop_tokens.end(), *token)) {
    mine.finish = FinishReason::kStop;
  } else if (sequence.num_generated() >= sequence.max_tokens || sequence.num_tokens() >= config_.context_tokens_max) {
    mine.finish = FinishReason::kLength;
  }
  sequence.ended = mine.finish.has_value();
}

SequenceResult& StepRunner::ResultOf(const SequenceState& sequence, StepResult& result) {
  // A sequence's rows come one after the other.
  if (result.sequences.empty() || result.sequences.back().sequence != sequence.id) {
    result.sequences.push_back({.sequence = sequence.id});
  }
  return result.sequences.back();
}

absl::Status StepRunner::WarmUp() {
  const std::array<TokenId, 2> tokens{};
  const std::array<BlockId, 1> table{};
  const int32_t count = std::min(2, config_.step_tokens_max);
  builder_.Clear();
  builder_.Add({.tokens = std::span(tokens).first(static_cast<size_t>(count)), .num_prompt = 1, .block_table = table});
  const Batch batch = builder_.Build();
  if (exchange_ != nullptr) {
    const std::vector<int32_t> tokens_per_rank(static_cast<size_t>(config_.num_ranks), count);
    TESSERA_RETURN_IF_ERROR(exchange_->BeginStep(0, tokens_per_rank));
  }
  TESSERA_RETURN_IF_ERROR(model_.Forward(batch, cache_));
  const int32_t row = 0;
  TESSERA_RETURN_IF_ERROR(model_.Logits({&row, 1}, {logits_.data(), {1, config_.vocab_size}}));
  cache_.PoisonBlock(0);
  return absl::OkStatus();
}

}  // namespace tessera
