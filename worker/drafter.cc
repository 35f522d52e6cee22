#include "worker/drafter.h"

#include <algorithm>
#include <cstring>

#include "base/status_macros.h"
#include "worker/sample/logprobs.h"

namespace tessera {
namespace {

constexpr int32_t kNoRow = -1;

// Rows of the slice whose next token is known: not those of rejected drafts, nor the last one if sampling failed.
int32_t NumPaired(const RunningSlice& slice) {
  return std::min(slice.sequence->num_computed, slice.sequence->num_tokens() - 1) - slice.first;
}

// Where the module stands when it guesses the next draft: one before the last token known or guessed.
int32_t DraftIndex(const SequenceState& sequence) {
  return sequence.num_tokens() - 2 + static_cast<int32_t>(sequence.drafts.size());
}

// A draft is of use if a token may follow it: it is verified by sampling that one too.
bool HasUseForADraft(const SequenceState& sequence) {
  return !sequence.ended && sequence.num_tokens() + std::ssize(sequence.drafts) + 2 <= sequence.tokens_max;
}

}  // namespace

Drafter::Drafter(const Limits& limits, Model& model, MtpModule& module, PagedLatentCache& cache,
                 Tensor<float, 2> logits)
    : limits_(limits),
      model_(model),
      module_(module),
      cache_(cache),
      logits_(logits),
      builder_(limits.step_tokens_max, limits.sequences_max),
      model_rows_(static_cast<size_t>(limits.step_tokens_max)) {
  logit_rows_.reserve(kLogitRowsMax);
  drafting_.reserve(static_cast<size_t>(limits.sequences_max));
}

absl::Status Drafter::Run(const SliceBatch& step, int32_t draft_tokens) {
  TESSERA_RETURN_IF_ERROR(FillCache(step));
  for (int32_t draft = 0; draft < draft_tokens; ++draft) {
    if (draft > 0) TESSERA_RETURN_IF_ERROR(RunOnDrafts());
    TESSERA_RETURN_IF_ERROR(Guess());
  }
  return absl::OkStatus();
}

absl::Status Drafter::FillCache(const SliceBatch& step) {
  builder_.Clear();
  for (const RunningSlice& slice : step.slices()) {
    const int32_t count = NumPaired(slice);
    if (count == 0) continue;
    builder_.Add({.tokens = std::span<const TokenId>(slice.sequence->tokens)
                                .subspan(static_cast<size_t>(slice.first) + 1, static_cast<size_t>(count)),
                  .first_index = slice.first,
                  .num_prompt = slice.sequence->num_prompt,
                  .block_table = slice.sequence->block_table});
  }
  const Batch batch = builder_.Build();
  drafting_.clear();
  int32_t placed = 0;
  for (size_t i = 0; i < step.slices().size(); ++i) {
    const RunningSlice& slice = step.slices()[i];
    const int32_t count = NumPaired(slice);
    if (count == 0) continue;
    for (int32_t offset = 0; offset < count; ++offset) {
      model_rows_[static_cast<size_t>(builder_.RowOf(placed, offset))] = step.RowOf(i, offset);
    }
    if (slice.samples) drafting_.push_back({slice.sequence, builder_.RowOf(placed, count - 1)});
    ++placed;
  }
  const auto rows = std::span<const int32_t>(model_rows_).first(static_cast<size_t>(batch.num_tokens()));
  TESSERA_RETURN_IF_ERROR(model_.NormedHidden(rows, module_.input(batch.num_tokens())));
  return module_.Forward(batch, cache_);
}

absl::Status Drafter::RunOnDrafts() {
  std::erase_if(drafting_, [](const Drafting& drafting) {
    return DraftIndex(*drafting.sequence) >= drafting.sequence->num_slots();
  });
  builder_.Clear();
  for (const Drafting& drafting : drafting_) {
    const SequenceState& sequence = *drafting.sequence;
    builder_.Add({.tokens = {&sequence.drafts.back(), 1},
                  .first_index = DraftIndex(sequence),
                  .num_prompt = sequence.num_prompt,
                  .block_table = sequence.block_table});
  }
  const Batch batch = builder_.Build();
  const Tensor<float, 2> input = module_.input(batch.num_tokens());
  for (size_t i = 0; i < drafting_.size(); ++i) {
    const int32_t row = builder_.RowOf(static_cast<int32_t>(i), 0);
    std::memcpy(input.row(row), module_.normed().row(drafting_[i].row),
                static_cast<size_t>(input.dim(1)) * sizeof(float));
    drafting_[i].row = row;
  }
  return module_.Forward(batch, cache_);
}

absl::Status Drafter::Guess() {
  std::erase_if(drafting_, [](const Drafting& drafting) { return !HasUseForADraft(*drafting.sequence); });
  for (size_t begin = 0; begin < drafting_.size(); begin += kLogitRowsMax) {
    const auto part = std::span(drafting_).subspan(begin, std::min<size_t>(drafting_.size() - begin, kLogitRowsMax));
    logit_rows_.clear();
    for (const Drafting& drafting : part) logit_rows_.push_back(drafting.row);
    const Tensor<float, 2> logits(logits_.data(), {std::ssize(part), logits_.dim(1)});
    TESSERA_RETURN_IF_ERROR(module_.Logits(logit_rows_, logits));
    GuessFrom(part, logits);
  }
  std::erase_if(drafting_, [](const Drafting& drafting) { return drafting.row == kNoRow; });
  return absl::OkStatus();
}

void Drafter::GuessFrom(std::span<Drafting> sequences, Tensor<const float, 2> logits) {
  for (size_t i = 0; i < sequences.size(); ++i) {
    const std::span<const float> row(logits.row(static_cast<int64_t>(i)), static_cast<size_t>(limits_.valid_vocab));
    if (!AllFinite(row)) {  // a guess from nowhere; what the tokens are, the main model alone decides
      sequences[i].row = kNoRow;
      continue;
    }
    sequences[i].sequence->drafts.push_back(
        static_cast<TokenId>(std::max_element(row.begin(), row.end()) - row.begin()));
  }
}

}  // namespace tessera
