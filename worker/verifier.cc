#include "worker/verifier.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "worker/sample/logprobs.h"

namespace tessera {
namespace {

SequenceResult& ResultOf(const SequenceState& sequence, StepResult& result) {
  // A sequence's rows come one after the other.
  if (result.sequences.empty() || result.sequences.back().sequence != sequence.id) {
    result.sequences.push_back({.sequence = sequence.id});
  }
  return result.sequences.back();
}

void Fail(SequenceState& sequence, const absl::Status& status, StepResult& result) {
  sequence.ended = true;
  SequenceResult& mine = ResultOf(sequence, result);
  mine.finish = FinishReason::kError;
  mine.status = status;
}

void Count(const RunningSlice& slice, std::vector<DraftCounts>& counts) {
  const auto num_drafts = static_cast<size_t>(slice.num_drafts);
  if (counts.size() < num_drafts) counts.resize(num_drafts);
  for (size_t i = 0; i < num_drafts; ++i) {
    ++counts[i].num_drafted;
    if (i < static_cast<size_t>(slice.num_accepted)) ++counts[i].num_accepted;
  }
}

}  // namespace

Verifier::Verifier(Model& model, Tensor<float, 2> logits, int32_t valid_vocab, int32_t step_tokens_max)
    : model_(model), logits_(logits), sampler_(static_cast<int32_t>(logits.dim(1)), valid_vocab) {
  jobs_.reserve(static_cast<size_t>(step_tokens_max));
  rows_.reserve(kLogitRowsMax);
}

absl::Status Verifier::Run(SliceBatch& batch, StepResult& result) {
  jobs_.clear();
  for (size_t i = 0; i < batch.slices().size(); ++i) AddJobs(batch, i);
  for (size_t begin = 0; begin < jobs_.size(); begin += kLogitRowsMax) {
    const auto jobs = std::span(jobs_).subspan(begin, std::min<size_t>(jobs_.size() - begin, kLogitRowsMax));
    rows_.clear();
    for (const Job& job : jobs) rows_.push_back(job.row);
    const Tensor<float, 2> logits(logits_.data(), {std::ssize(jobs), logits_.dim(1)});
    TESSERA_RETURN_IF_ERROR(model_.Logits(rows_, logits));
    for (size_t i = 0; i < jobs.size(); ++i) {
      Finish(jobs[i], {logits.row(static_cast<int64_t>(i)), static_cast<size_t>(logits.dim(1))}, result);
    }
  }
  for (const RunningSlice& slice : batch.slices()) {
    slice.sequence->num_computed += slice.num_known + slice.num_accepted;
    slice.sequence->drafts.clear();
    Count(slice, result.drafts);
  }
  return absl::OkStatus();
}

void Verifier::AddJobs(SliceBatch& batch, size_t index) {
  RunningSlice& slice = batch.slices()[index];
  for (int32_t offset = 0; offset < slice.num_rows(); ++offset) {
    const int32_t target = slice.first + offset + 1;  // what the logits are for
    const bool samples = slice.samples && offset + 1 >= slice.num_known;
    if (!samples && !(slice.sequence->wants_prompt_logprobs && target < slice.sequence->num_prompt)) continue;
    jobs_.push_back({.slice = &slice, .offset = offset, .row = batch.RowOf(index, offset)});
  }
}

void Verifier::Finish(const Job& job, std::span<const float> logits, StepResult& result) {
  RunningSlice& slice = *job.slice;
  SequenceState& sequence = *slice.sequence;
  if (sequence.ended) return;                                          // by an earlier row of this step
  const int32_t num_drafts_before = job.offset + 1 - slice.num_known;  // that the row stands on
  if (!slice.samples || num_drafts_before < 0) {
    AddPromptLogprobs(sequence, slice.first + job.offset + 1, logits, result);
    return;
  }
  if (num_drafts_before > slice.num_accepted) return;
  const std::optional<TokenId> token = Sample(sequence, logits, result);
  if (token && num_drafts_before < slice.num_drafts &&
      *token == sequence.drafts[static_cast<size_t>(num_drafts_before)]) {
    ++slice.num_accepted;
  }
}

void Verifier::AddPromptLogprobs(SequenceState& sequence, int32_t target, std::span<const float> logits,
                                 StepResult& result) {
  if (!AllFinite(logits)) {
    const auto text = absl::StrFormat("the logits for prompt position %d are not finite", target);
    Fail(sequence, absl::InternalError(text), result);
    return;
  }
  const TokenId token = sequence.tokens[static_cast<size_t>(target)];
  ResultOf(sequence, result)
      .prompt_logprobs.push_back(
          LogprobsOf(logits, sampler_.valid_vocab(), token, sequence.sampling.num_prompt_logprobs));
}

std::optional<TokenId> Verifier::Sample(SequenceState& sequence, std::span<const float> logits, StepResult& result) {
  SampleContext context{.params = &sequence.sampling,
                        .counts = sequence.counts ? &*sequence.counts : nullptr,
                        .position = sequence.num_tokens()};
  if (sequence.num_generated() < sequence.min_tokens) context.banned = sequence.stop_tokens;
  const absl::StatusOr<TokenId> token = sampler_.Sample(logits, context);
  if (!token.ok()) {
    Fail(sequence, token.status(), result);
    return std::nullopt;
  }
  SequenceResult& mine = ResultOf(sequence, result);
  sequence.tokens.push_back(*token);
  if (sequence.counts) sequence.counts->AddGenerated(*token);
  mine.tokens.push_back(*token);
  if (sequence.sampling.num_logprobs >= 0) {
    mine.logprobs.push_back(LogprobsOf(logits, sampler_.valid_vocab(), *token, sequence.sampling.num_logprobs));
  }
  if (std::binary_search(sequence.stop_tokens.begin(), sequence.stop_tokens.end(), *token)) {
    mine.finish = FinishReason::kStop;
  } else if (sequence.num_tokens() >= sequence.tokens_max) {
    mine.finish = FinishReason::kLength;
  }
  sequence.ended = mine.finish.has_value();
  return *token;
}

}  // namespace tessera
