#include "scheduler/contract/wire/step_plan_proto.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/wire/check_field.h"
#include "scheduler/contract/wire/sampling_proto.h"

namespace tessera::wire {
namespace {

template <typename Number>
void CopyTo(const std::vector<Number>& from, google::protobuf::RepeatedField<Number>& to) {
  to.Add(from.begin(), from.end());
}

template <typename Number>
std::vector<Number> ToVector(const google::protobuf::RepeatedField<Number>& from) {
  return {from.begin(), from.end()};
}

void Encode(const AddedSequence& added, pb::AddedSequence& out) {
  out.set_sequence(added.sequence.value);
  CopyTo(added.prompt, *out.mutable_prompt());
  CopyTo(added.generated, *out.mutable_generated());
  out.set_num_cached_tokens(added.num_cached_tokens);
  ToProto(added.sampling, *out.mutable_sampling());
  out.set_max_tokens(added.max_tokens);
  out.set_min_tokens(added.min_tokens);
  CopyTo(added.stop_tokens, *out.mutable_stop_tokens());
  out.set_skip_prompt_logprobs(added.skip_prompt_logprobs);
}

absl::StatusOr<AddedSequence> Decode(const pb::AddedSequence& in, const WorkerLimits& limits) {
  TESSERA_RETURN_IF_ERROR(CheckRange("sequence", in.sequence(), 0, INT64_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("prompt: number", in.prompt_size(), 1, limits.context_tokens_max - 1));
  TESSERA_RETURN_IF_ERROR(
      CheckRange("generated: number", in.generated_size(), 0, limits.context_tokens_max - 1 - in.prompt_size()));
  TESSERA_RETURN_IF_ERROR(CheckIds("prompt", in.prompt(), limits.vocab_size - 1));
  TESSERA_RETURN_IF_ERROR(CheckIds("generated", in.generated(), limits.vocab_size - 1));
  TESSERA_RETURN_IF_ERROR(
      CheckRange("num_cached_tokens", in.num_cached_tokens(), 0, in.prompt_size() + in.generated_size() - 1));
  TESSERA_RETURN_IF_ERROR(CheckRange("max_tokens", in.max_tokens(), in.generated_size() + 1, INT32_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("min_tokens", in.min_tokens(), 0, in.max_tokens()));
  TESSERA_RETURN_IF_ERROR(CheckRange("stop_tokens: number", in.stop_tokens_size(), 0, kMaxStopTokens));
  TESSERA_RETURN_IF_ERROR(CheckIds("stop_tokens", in.stop_tokens(), limits.vocab_size - 1));
  absl::StatusOr<SamplingParams> sampling = FromProto(in.sampling(), limits.vocab_size);
  if (!sampling.ok()) return Within("sampling.", sampling.status());
  return AddedSequence{.sequence = {in.sequence()},
                       .prompt = ToVector(in.prompt()),
                       .generated = ToVector(in.generated()),
                       .num_cached_tokens = in.num_cached_tokens(),
                       .sampling = *std::move(sampling),
                       .max_tokens = in.max_tokens(),
                       .min_tokens = in.min_tokens(),
                       .stop_tokens = ToVector(in.stop_tokens()),
                       .skip_prompt_logprobs = in.skip_prompt_logprobs()};
}

absl::StatusOr<AppendedBlocks> Decode(const pb::AppendedBlocks& in, const WorkerLimits& limits) {
  TESSERA_RETURN_IF_ERROR(CheckRange("sequence", in.sequence(), 0, INT64_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("blocks: number", in.blocks_size(), 1, limits.num_blocks));
  TESSERA_RETURN_IF_ERROR(CheckIds("blocks", in.blocks(), limits.num_blocks - 1));
  return AppendedBlocks{.sequence = {in.sequence()}, .blocks = ToVector(in.blocks())};
}

absl::Status CheckSizes(const pb::StepPlan& in, const WorkerLimits& limits) {
  // In one step all sequences may end and as many begin.
  const int64_t sequences_max = limits.sequences_max;
  TESSERA_RETURN_IF_ERROR(CheckRange("step", in.step(), 1, INT64_MAX));
  TESSERA_RETURN_IF_ERROR(
      CheckRange("tokens_per_rank: number", in.tokens_per_rank_size(), limits.num_ranks, limits.num_ranks));
  TESSERA_RETURN_IF_ERROR(CheckIds("tokens_per_rank", in.tokens_per_rank(), limits.step_tokens_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("draft_tokens", in.draft_tokens(), 0, limits.draft_tokens_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("freed: number", in.freed_size(), 0, sequences_max));
  TESSERA_RETURN_IF_ERROR(CheckIds("freed", in.freed(), INT64_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("added: number", in.added_size(), 0, sequences_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("blocks: number", in.blocks_size(), 0, sequences_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("slice_sequences: number", in.slice_sequences_size(), 0, sequences_max));
  TESSERA_RETURN_IF_ERROR(CheckIds("slice_sequences", in.slice_sequences(), INT64_MAX));
  return CheckRange("slice_tokens: number", in.slice_tokens_size(), in.slice_sequences_size(),
                    in.slice_sequences_size());
}

}  // namespace

void ToProto(const StepPlan& plan, pb::StepPlan& out) {
  out.set_step(plan.step);
  CopyTo(plan.tokens_per_rank, *out.mutable_tokens_per_rank());
  out.set_draft_tokens(plan.draft_tokens);
  for (const SequenceId id : plan.freed) out.add_freed(id.value);
  for (const AddedSequence& added : plan.added) Encode(added, *out.add_added());
  for (const AppendedBlocks& appended : plan.blocks) {
    pb::AppendedBlocks& to = *out.add_blocks();
    to.set_sequence(appended.sequence.value);
    CopyTo(appended.blocks, *to.mutable_blocks());
  }
  for (const Slice& slice : plan.slices) {
    out.add_slice_sequences(slice.sequence.value);
    out.add_slice_tokens(slice.num_tokens);
  }
}

absl::StatusOr<StepPlan> FromProto(const pb::StepPlan& in, const WorkerLimits& limits) {
  TESSERA_RETURN_IF_ERROR(CheckSizes(in, limits));
  StepPlan plan{
      .step = in.step(), .tokens_per_rank = ToVector(in.tokens_per_rank()), .draft_tokens = in.draft_tokens()};
  plan.freed.reserve(static_cast<size_t>(in.freed_size()));
  for (const int64_t id : in.freed()) plan.freed.push_back({id});
  for (int i = 0; i < in.added_size(); ++i) {
    absl::StatusOr<AddedSequence> added = Decode(in.added(i), limits);
    if (!added.ok()) return Within(absl::StrFormat("added[%d].", i), added.status());
    plan.added.push_back(*std::move(added));
  }
  for (int i = 0; i < in.blocks_size(); ++i) {
    absl::StatusOr<AppendedBlocks> appended = Decode(in.blocks(i), limits);
    if (!appended.ok()) return Within(absl::StrFormat("blocks[%d].", i), appended.status());
    plan.blocks.push_back(*std::move(appended));
  }
  plan.slices.reserve(static_cast<size_t>(in.slice_tokens_size()));
  for (int i = 0; i < in.slice_tokens_size(); ++i) {
    const int32_t num_tokens = in.slice_tokens(i);
    if (num_tokens < 1 || num_tokens > limits.step_tokens_max) {
      return CheckRange(absl::StrFormat("slice_tokens[%d]", i), num_tokens, 1, limits.step_tokens_max);
    }
    plan.slices.push_back({.sequence = {in.slice_sequences(i)}, .num_tokens = num_tokens});
  }
  return plan;
}

}  // namespace tessera::wire
