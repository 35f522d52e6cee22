#include "worker/slice_batch.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace tessera {

SliceBatch::SliceBatch(const Limits& limits) : limits_(limits), builder_(limits.step_tokens_max, limits.sequences_max) {
  slices_.reserve(static_cast<size_t>(limits.sequences_max));
  decode_tokens_.reserve(static_cast<size_t>(limits.step_tokens_max));
}

void SliceBatch::Clear() {
  slices_.clear();
  decode_tokens_.clear();
  builder_.Clear();
}

absl::Status SliceBatch::Add(const Slice& slice, SequenceState& sequence) {
  const int32_t left = sequence.num_tokens() - sequence.num_computed;
  // With its last token alone left it decodes, and the slice has room for drafts.
  const int32_t most = left == 1 ? 1 + limits_.draft_tokens_max : left;
  const int32_t num_known = std::min(slice.num_tokens, left);
  if (slice.num_tokens > most || sequence.num_computed + num_known > sequence.num_slots()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "sequence %d: got a slice of %d tokens after %d, wanted at most the %d left, within the %d of its blocks",
        slice.sequence.value, slice.num_tokens, sequence.num_computed, most, sequence.num_slots()));
  }
  RunningSlice running{
      .sequence = &sequence, .first = sequence.num_computed, .num_known = num_known, .samples = num_known == left};
  auto tokens = std::span<const TokenId>(sequence.tokens)
                    .subspan(static_cast<size_t>(running.first), static_cast<size_t>(num_known));
  if (left == 1) {
    const int64_t room = std::min<int64_t>(slice.num_tokens, sequence.num_slots() - running.first) - 1;
    running.num_drafts = static_cast<int32_t>(std::min<int64_t>(room, std::ssize(sequence.drafts)));
  }
  if (running.num_drafts > 0) {
    const size_t begin = decode_tokens_.size();
    decode_tokens_.push_back(tokens[0]);
    decode_tokens_.insert(decode_tokens_.end(), sequence.drafts.begin(), sequence.drafts.begin() + running.num_drafts);
    tokens = std::span<const TokenId>(decode_tokens_).subspan(begin);
  }
  builder_.Add({.tokens = tokens,
                .first_index = running.first,
                .num_prompt = sequence.num_prompt,
                .block_table = sequence.block_table});
  slices_.push_back(running);
  return absl::OkStatus();
}

}  // namespace tessera
