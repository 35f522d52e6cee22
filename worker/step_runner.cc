#include "worker/step_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {

StepRunner::StepRunner(const StepRunnerConfig& config, const StepRunnerParts& parts)
    : config_(config),
      parts_(parts),
      sequences_({.sequences_max = config.sequences_max,
                  .context_tokens_max = config.context_tokens_max,
                  .draft_tokens_max = config.draft_tokens_max,
                  .vocab_size = config.vocab_size},
                 parts.cache),
      batch_({.step_tokens_max = config.step_tokens_max,
              .sequences_max = config.sequences_max,
              .draft_tokens_max = config.draft_tokens_max}),
      logits_(static_cast<size_t>(kLogitRowsMax) * static_cast<size_t>(config.vocab_size)),
      verifier_(parts.model, {logits_.data(), {kLogitRowsMax, config.vocab_size}}, config.valid_vocab,
                config.step_tokens_max) {
  if (parts.mtp == nullptr) return;
  drafter_.emplace(Drafter::Limits{.step_tokens_max = config.step_tokens_max,
                                   .sequences_max = config.sequences_max,
                                   .valid_vocab = config.valid_vocab},
                   parts.model, *parts.mtp, parts.cache,
                   Tensor<float, 2>(logits_.data(), {kLogitRowsMax, config.vocab_size}));
}

absl::StatusOr<StepResult> StepRunner::Run(StepPlan plan) {
  TESSERA_RETURN_IF_ERROR(CheckPlan(plan));
  last_step_ = plan.step;
  return Execute(plan);
}

absl::StatusOr<StepResult> StepRunner::Execute(StepPlan& plan) {
  const absl::Time start = parts_.clock.Now();
  TESSERA_RETURN_IF_ERROR(sequences_.Apply(plan));
  batch_.Clear();
  for (const Slice& slice : plan.slices) TESSERA_RETURN_IF_ERROR(AddSlice(slice, plan.step));
  const Batch batch = batch_.Build();
  if (parts_.exchange != nullptr) {
    TESSERA_RETURN_IF_ERROR(parts_.exchange->BeginStep(plan.step, plan.tokens_per_rank));
  }
  TESSERA_RETURN_IF_ERROR(parts_.model.Forward(batch, parts_.cache));
  StepResult result{.step = plan.step};
  TESSERA_RETURN_IF_ERROR(verifier_.Run(batch_, result));
  if (drafter_) TESSERA_RETURN_IF_ERROR(drafter_->Run(batch_, plan.draft_tokens));
  result.duration = parts_.clock.Now() - start;
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
  if (plan.draft_tokens < 0 || plan.draft_tokens > config_.draft_tokens_max) {
    return absl::InvalidArgumentError(
        absl::StrFormat("draft_tokens: got %d, wanted 0 to %d", plan.draft_tokens, config_.draft_tokens_max));
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

absl::Status StepRunner::AddSlice(const Slice& slice, int64_t step) {
  SequenceState* sequence = sequences_.Find(slice.sequence);
  if (sequence == nullptr) {
    return absl::InvalidArgumentError(absl::StrFormat("slice of sequence %d, which is not here", slice.sequence.value));
  }
  if (sequence->ended) return absl::OkStatus();  // planned before the scheduler could know
  if (sequence->last_step == step) {
    return absl::InvalidArgumentError(
        absl::StrFormat("sequence %d: got two slices, wanted at most one", slice.sequence.value));
  }
  sequence->last_step = step;
  return batch_.Add(slice, *sequence);
}

absl::Status StepRunner::WarmUp() {
  const int32_t count = std::min({2, config_.step_tokens_max, config_.context_tokens_max - 1});
  if (count < 1) return absl::OkStatus();  // a context of one token: nothing can ever run
  const SequenceId id{0};
  AddedSequence added{.sequence = id, .prompt = {0}, .max_tokens = config_.context_tokens_max};
  if (count == 2) added.generated = {0};
  StepPlan plan{.tokens_per_rank = std::vector<int32_t>(static_cast<size_t>(config_.num_ranks), count),
                .draft_tokens = config_.draft_tokens_max,
                .added = {std::move(added)},
                .blocks = {{id, {0}}},
                .slices = {{id, count}}};
  TESSERA_RETURN_IF_ERROR(Execute(plan).status());
  StepPlan end{.freed = {id}};
  TESSERA_RETURN_IF_ERROR(sequences_.Apply(end));
  parts_.cache.PoisonBlock(0);
  return absl::OkStatus();
}

}  // namespace tessera
