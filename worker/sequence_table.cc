#include "worker/sequence_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "kernels/latent_cache.h"
#include "worker/cache/slot_mapping.h"

namespace tessera {
namespace {

template <typename... Args>
absl::Status Refused(SequenceId id, const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrFormat("sequence %d: ", id.value) + absl::StrFormat(format, args...));
}

bool AllKnown(const std::vector<TokenId>& tokens, int32_t vocab_size) {
  return std::all_of(tokens.begin(), tokens.end(), [&](TokenId token) { return token >= 0 && token < vocab_size; });
}

}  // namespace

SequenceTable::SequenceTable(const SequenceLimits& limits, PagedLatentCache& cache) : limits_(limits), cache_(cache) {
  sequences_.reserve(static_cast<size_t>(limits.sequences_max));
}

absl::Status SequenceTable::Apply(StepPlan& plan) {
  for (const SequenceId id : plan.freed) TESSERA_RETURN_IF_ERROR(Free(id));
  for (AddedSequence& added : plan.added) TESSERA_RETURN_IF_ERROR(Add(added));
  for (const AppendedBlocks& appended : plan.blocks) TESSERA_RETURN_IF_ERROR(AppendBlocks(appended));
  return absl::OkStatus();
}

SequenceState* SequenceTable::Find(SequenceId id) {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

absl::Status SequenceTable::Free(SequenceId id) {
  if (sequences_.erase(id) == 0) return Refused(id, "freed, but it is not on this rank");
  return absl::OkStatus();
}

absl::Status SequenceTable::Validate(const AddedSequence& added) const {
  const SequenceId id = added.sequence;
  const auto num_tokens = static_cast<int64_t>(added.prompt.size() + added.generated.size());
  if (sequences_.contains(id)) return Refused(id, "added twice");
  if (sequences_.size() >= static_cast<size_t>(limits_.sequences_max)) {
    return Refused(id, "added to %d others, the limit of sequences alive", sequences_.size());
  }
  if (added.prompt.empty()) return Refused(id, "prompt: got no token, wanted at least 1");
  if (num_tokens >= limits_.context_tokens_max) {
    return Refused(id, "tokens: got %d, wanted fewer than the context of %d", num_tokens, limits_.context_tokens_max);
  }
  if (static_cast<int64_t>(added.generated.size()) >= added.max_tokens) {
    return Refused(id, "generated: got %d tokens, wanted fewer than max_tokens = %d", added.generated.size(),
                   added.max_tokens);
  }
  if (!AllKnown(added.prompt, limits_.vocab_size) || !AllKnown(added.generated, limits_.vocab_size) ||
      !AllKnown(added.stop_tokens, limits_.vocab_size)) {
    return Refused(id, "tokens: wanted ids from 0 to %d", limits_.vocab_size - 1);
  }
  for (const auto& [token, bias] : added.sampling.logit_bias) {
    if (token < 0 || token >= limits_.vocab_size) {
      return Refused(id, "logit_bias: got token %d, wanted 0 to %d", token, limits_.vocab_size - 1);
    }
  }
  if (added.num_cached_tokens < 0 || added.num_cached_tokens >= num_tokens ||
      added.num_cached_tokens % kBlockTokens != 0) {
    return Refused(id, "num_cached_tokens: got %d, wanted whole blocks of %d tokens, below %d", added.num_cached_tokens,
                   kBlockTokens, num_tokens);
  }
  return absl::OkStatus();
}

absl::Status SequenceTable::Add(AddedSequence& added) {
  TESSERA_RETURN_IF_ERROR(Validate(added));
  auto state = std::make_unique<SequenceState>();
  state->id = added.sequence;
  state->num_prompt = static_cast<int32_t>(added.prompt.size());
  state->num_computed = added.num_cached_tokens;
  state->sampling = std::move(added.sampling);
  state->min_tokens = added.min_tokens;
  state->stop_tokens = std::move(added.stop_tokens);
  std::sort(state->stop_tokens.begin(), state->stop_tokens.end());
  state->wants_prompt_logprobs = state->sampling.num_prompt_logprobs >= 0 && !added.skip_prompt_logprobs;
  if (TokenCounts::Needed(state->sampling)) {
    TokenCounts& counts = state->counts.emplace();
    counts.AddPrompt(added.prompt);
    for (const TokenId token : added.generated) counts.AddGenerated(token);
  }
  state->tokens_max = static_cast<int32_t>(
      std::min<int64_t>(int64_t{state->num_prompt} + added.max_tokens, limits_.context_tokens_max));
  // Room for all that may come, so that no step allocates.
  state->tokens = std::move(added.prompt);
  state->tokens.reserve(static_cast<size_t>(state->tokens_max));
  state->tokens.insert(state->tokens.end(), added.generated.begin(), added.generated.end());
  state->block_table.reserve(static_cast<size_t>(BlocksFor(state->tokens_max)));
  state->drafts.reserve(static_cast<size_t>(limits_.draft_tokens_max));
  sequences_.emplace(added.sequence, std::move(state));
  return absl::OkStatus();
}

absl::Status SequenceTable::AppendBlocks(const AppendedBlocks& appended) {
  SequenceState* state = Find(appended.sequence);
  if (state == nullptr) return Refused(appended.sequence, "blocks appended, but it is not on this rank");
  for (const BlockId block : appended.blocks) {
    if (block < 0 || block >= cache_.config().num_blocks) {
      return Refused(appended.sequence, "block: got %d, wanted 0 to %d", block, cache_.config().num_blocks - 1);
    }
    // The first blocks may be shared: they hold what was computed already.
    if (state->num_slots() >= state->num_computed) cache_.PoisonBlock(block);
    state->block_table.push_back(block);
  }
  return absl::OkStatus();
}

}  // namespace tessera
