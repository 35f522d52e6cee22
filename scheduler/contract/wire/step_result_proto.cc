#include "scheduler/contract/wire/step_result_proto.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/wire/check_field.h"
#include "scheduler/contract/wire/logprobs_proto.h"
#include "scheduler/contract/wire/status_proto.h"

namespace tessera::wire {
namespace {

void Encode(const SequenceResult& result, pb::SequenceResult& out) {
  out.set_sequence(result.sequence.value);
  out.mutable_tokens()->Add(result.tokens.begin(), result.tokens.end());
  ToProto(result.logprobs, *out.mutable_logprobs());
  ToProto(result.prompt_logprobs, *out.mutable_prompt_logprobs());
  out.set_finish(ToProto(result.finish));
  if (!result.status.ok()) ToProto(result.status, *out.mutable_status());
}

absl::StatusOr<SequenceResult> Decode(const pb::SequenceResult& in, const WorkerLimits& limits) {
  SequenceResult result{.sequence = {in.sequence()}, .tokens = {in.tokens().begin(), in.tokens().end()}};
  TESSERA_RETURN_IF_ERROR(CheckRange("sequence", in.sequence(), 0, INT64_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("tokens: number", in.tokens_size(), 0, 1 + limits.draft_tokens_max));
  TESSERA_RETURN_IF_ERROR(CheckIds("tokens", in.tokens(), limits.vocab_size - 1));
  if (in.logprobs_size() != 0) {
    TESSERA_RETURN_IF_ERROR(CheckRange("logprobs: number", in.logprobs_size(), in.tokens_size(), in.tokens_size()));
  }
  TESSERA_RETURN_IF_ERROR(CheckRange("prompt_logprobs: number", in.prompt_logprobs_size(), 0, limits.step_tokens_max));
  TESSERA_ASSIGN_OR_RETURN(result.logprobs, FromProto(in.logprobs(), "logprobs", limits.vocab_size));
  TESSERA_ASSIGN_OR_RETURN(result.prompt_logprobs,
                           FromProto(in.prompt_logprobs(), "prompt_logprobs", limits.vocab_size));
  TESSERA_ASSIGN_OR_RETURN(result.finish, FromProto(in.finish()));
  if (in.has_status()) result.status = FromProto(in.status());
  if (result.finish == FinishReason::kCancelled || result.finish == FinishReason::kDeadline) {
    return absl::InvalidArgumentError(
        absl::StrFormat("finish: got '%s', wanted one that a worker sees", ToString(*result.finish)));
  }
  if ((result.finish == FinishReason::kError) == result.status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("status: got '%s', wanted an error exactly when finish is one", result.status.ToString()));
  }
  return result;
}

absl::StatusOr<DraftCounts> Decode(const pb::DraftCounts& in, const WorkerLimits& limits) {
  TESSERA_RETURN_IF_ERROR(CheckRange("num_drafted", in.num_drafted(), 0, limits.sequences_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("num_accepted", in.num_accepted(), 0, in.num_drafted()));
  return DraftCounts{.num_drafted = in.num_drafted(), .num_accepted = in.num_accepted()};
}

}  // namespace

void ToProto(const StepResult& result, pb::StepResult& out) {
  out.set_step(result.step);
  for (const SequenceResult& sequence : result.sequences) Encode(sequence, *out.add_sequences());
  for (const DraftCounts& counts : result.drafts) {
    pb::DraftCounts& to = *out.add_drafts();
    to.set_num_drafted(counts.num_drafted);
    to.set_num_accepted(counts.num_accepted);
  }
  out.set_duration_ns(absl::ToInt64Nanoseconds(result.duration));
}

absl::StatusOr<StepResult> FromProto(const pb::StepResult& in, const WorkerLimits& limits) {
  TESSERA_RETURN_IF_ERROR(CheckRange("step", in.step(), 1, INT64_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("sequences: number", in.sequences_size(), 0, limits.sequences_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("drafts: number", in.drafts_size(), 0, limits.draft_tokens_max));
  TESSERA_RETURN_IF_ERROR(CheckRange("duration_ns", in.duration_ns(), 0, INT64_MAX));
  StepResult result{.step = in.step(), .duration = absl::Nanoseconds(in.duration_ns())};
  result.sequences.reserve(static_cast<size_t>(in.sequences_size()));
  for (int i = 0; i < in.sequences_size(); ++i) {
    absl::StatusOr<SequenceResult> sequence = Decode(in.sequences(i), limits);
    if (!sequence.ok()) return Within(absl::StrFormat("sequences[%d].", i), sequence.status());
    result.sequences.push_back(*std::move(sequence));
  }
  for (int i = 0; i < in.drafts_size(); ++i) {
    const absl::StatusOr<DraftCounts> counts = Decode(in.drafts(i), limits);
    if (!counts.ok()) return Within(absl::StrFormat("drafts[%d].", i), counts.status());
    result.drafts.push_back(*counts);
  }
  return result;
}

}  // namespace tessera::wire
