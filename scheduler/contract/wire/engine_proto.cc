#include "scheduler/contract/wire/engine_proto.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/wire/check_field.h"
#include "scheduler/contract/wire/logprobs_proto.h"
#include "scheduler/contract/wire/sampling_proto.h"
#include "scheduler/contract/wire/status_proto.h"

namespace tessera::wire {
namespace {

constexpr size_t kReasonBytesMax = 4096;
// Far above any real group, low enough that sums stay within 64 bits.
constexpr int64_t kCountMax = int64_t{1} << 56;
constexpr int64_t kSizeMax = 1 << 24;

// `wire::` names the conversions of parts, which these two would hide.
void ToProto(const RequestTokens& tokens, absl::Time now, pb::RequestTokens& out) {
  out.set_request(tokens.request.value);
  out.mutable_tokens()->Add(tokens.tokens.begin(), tokens.tokens.end());
  wire::ToProto(tokens.logprobs, *out.mutable_logprobs());
  wire::ToProto(tokens.prompt_logprobs, *out.mutable_prompt_logprobs());
  out.set_num_cached_tokens(tokens.num_cached_tokens);
  if (tokens.started != absl::InfinitePast()) out.set_started_ago_us(absl::ToInt64Microseconds(now - tokens.started));
  out.set_finish(wire::ToProto(tokens.finish));
  if (!tokens.status.ok()) wire::ToProto(tokens.status, *out.mutable_status());
}

absl::StatusOr<RequestTokens> FromProto(const pb::RequestTokens& in, int32_t vocab_size, absl::Time now) {
  TESSERA_RETURN_IF_ERROR(CheckRange("request", in.request(), 0, INT64_MAX));
  TESSERA_RETURN_IF_ERROR(CheckIds("tokens", in.tokens(), vocab_size - 1));
  TESSERA_RETURN_IF_ERROR(CheckRange("num_cached_tokens", in.num_cached_tokens(), 0, INT32_MAX));
  if (in.logprobs_size() != 0) {
    TESSERA_RETURN_IF_ERROR(CheckRange("logprobs: number", in.logprobs_size(), in.tokens_size(), in.tokens_size()));
  }
  RequestTokens out{.request = {in.request()},
                    .tokens = {in.tokens().begin(), in.tokens().end()},
                    .num_cached_tokens = in.num_cached_tokens()};
  TESSERA_ASSIGN_OR_RETURN(out.logprobs, wire::FromProto(in.logprobs(), "logprobs", vocab_size));
  TESSERA_ASSIGN_OR_RETURN(out.prompt_logprobs, wire::FromProto(in.prompt_logprobs(), "prompt_logprobs", vocab_size));
  if (in.has_started_ago_us()) out.started = now - absl::Microseconds(in.started_ago_us());
  TESSERA_ASSIGN_OR_RETURN(out.finish, wire::FromProto(in.finish()));
  if (in.has_status()) out.status = wire::FromProto(in.status());
  if ((out.finish == FinishReason::kError) == out.status.ok()) {
    return absl::InvalidArgumentError(absl::StrFormat("status: got '%s', finish %d: wanted an error in both or in none",
                                                      out.status.ToString(), static_cast<int>(in.finish())));
  }
  return out;
}

template <size_t N>
absl::Status CopyCounts(const char* field, const google::protobuf::RepeatedField<int64_t>& in,
                        std::array<int64_t, N>& out) {
  TESSERA_RETURN_IF_ERROR(CheckRange(std::string(field) + ": number", in.size(), N, N));
  TESSERA_RETURN_IF_ERROR(CheckIds(field, in, kCountMax));
  std::copy(in.begin(), in.end(), out.begin());
  return absl::OkStatus();
}

absl::Status CheckCounts(const pb::EngineStatus& in) {
  TESSERA_RETURN_IF_ERROR(CheckRange("num_waiting", in.num_waiting(), 0, kSizeMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("num_running", in.num_running(), 0, kSizeMax));
  for (const auto& [field, count] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"num_submits_seen", in.num_submits_seen()},
           {"num_blocks_used", in.num_blocks_used()},
           {"num_blocks_total", in.num_blocks_total()},
           {"num_waiting_tokens", in.num_waiting_tokens()},
           {"num_steps", in.num_steps()},
           {"num_preemptions", in.num_preemptions()},
           {"num_prompt_tokens", in.num_prompt_tokens()},
           {"num_generated_tokens", in.num_generated_tokens()},
           {"num_cached_prompt_tokens", in.num_cached_prompt_tokens()},
           {"num_failed_numeric", in.num_failed_numeric()},
           {"num_refused", in.num_refused()},
           {"num_step_tokens", in.num_step_tokens()},
           {"num_prefix_cache_queries", in.num_prefix_cache_queries()},
           {"num_prefix_cache_hits", in.num_prefix_cache_hits()},
           {"num_prefix_cache_collisions", in.num_prefix_cache_collisions()},
           {"num_drafts", in.num_drafts()},
           {"num_draft_tokens", in.num_draft_tokens()}}) {
    TESSERA_RETURN_IF_ERROR(CheckRange(field, count, 0, kCountMax));
  }
  return absl::OkStatus();
}

}  // namespace

void ToProto(const Request& request, absl::Time now, pb::Request& out) {
  out.set_id(request.id.value);
  out.mutable_prompt()->Add(request.prompt.begin(), request.prompt.end());
  out.mutable_generated()->Add(request.generated.begin(), request.generated.end());
  ToProto(request.sampling, *out.mutable_sampling());
  out.set_max_tokens(request.max_tokens);
  out.set_min_tokens(request.min_tokens);
  out.mutable_stop_tokens()->Add(request.stop_tokens.begin(), request.stop_tokens.end());
  out.set_priority(request.priority);
  out.set_client(request.client);
  if (request.deadline != absl::InfiniteFuture()) {
    out.set_timeout_us(absl::ToInt64Microseconds(request.deadline - now));
  }
  if (request.arrival != absl::InfinitePast()) {
    out.set_waited_us(std::max<int64_t>(0, absl::ToInt64Microseconds(now - request.arrival)));
  }
}

absl::StatusOr<Request> FromProto(const pb::Request& in, int32_t vocab_size, absl::Time now) {
  TESSERA_RETURN_IF_ERROR(CheckRange("id", in.id(), 0, INT64_MAX));
  TESSERA_RETURN_IF_ERROR(CheckRange("waited_us", in.waited_us(), 0, INT64_MAX));
  absl::StatusOr<SamplingParams> sampling = FromProto(in.sampling(), vocab_size);
  if (!sampling.ok()) return Within("sampling.", sampling.status());
  Request out{.id = {in.id()},
              .prompt = {in.prompt().begin(), in.prompt().end()},
              .generated = {in.generated().begin(), in.generated().end()},
              .sampling = *std::move(sampling),
              .max_tokens = in.max_tokens(),
              .min_tokens = in.min_tokens(),
              .stop_tokens = {in.stop_tokens().begin(), in.stop_tokens().end()},
              .priority = in.priority(),
              .client = in.client(),
              .arrival = now - absl::Microseconds(in.waited_us())};
  if (in.has_timeout_us()) out.deadline = now + absl::Microseconds(in.timeout_us());
  TESSERA_RETURN_IF_ERROR(Validate(out, vocab_size));
  return out;
}

void ToProto(const TokenBatch& batch, absl::Time now, pb::TokenBatch& out) {
  out.mutable_requests()->Reserve(static_cast<int>(batch.requests.size()));
  for (const RequestTokens& tokens : batch.requests) ToProto(tokens, now, *out.add_requests());
}

absl::StatusOr<TokenBatch> FromProto(const pb::TokenBatch& in, int32_t vocab_size, absl::Time now) {
  TokenBatch out;
  out.requests.reserve(static_cast<size_t>(in.requests_size()));
  for (int i = 0; i < in.requests_size(); ++i) {
    absl::StatusOr<RequestTokens> tokens = FromProto(in.requests(i), vocab_size, now);
    if (!tokens.ok()) return Within(absl::StrFormat("requests[%d].", i), tokens.status());
    out.requests.push_back(*std::move(tokens));
  }
  return out;
}

void ToProto(const EngineLimits& limits, pb::EngineLimits& out) {
  out.set_context_tokens_max(limits.context_tokens_max);
  out.set_cache_tokens_per_rank(limits.cache_tokens_per_rank);
  out.set_vocab_size(limits.vocab_size);
  out.set_num_ranks(limits.num_ranks);
  out.set_block_tokens(limits.block_tokens);
  out.set_num_blocks_per_rank(limits.num_blocks_per_rank);
  out.set_has_prefix_cache(limits.has_prefix_cache);
}

absl::StatusOr<EngineLimits> FromProto(const pb::EngineLimits& in) {
  TESSERA_RETURN_IF_ERROR(CheckRange("context_tokens_max", in.context_tokens_max(), 1, kSizeMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("cache_tokens_per_rank", in.cache_tokens_per_rank(), 1, kCountMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("vocab_size", in.vocab_size(), 1, kSizeMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("num_ranks", in.num_ranks(), 1, kSizeMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("block_tokens", in.block_tokens(), 1, kSizeMax));
  TESSERA_RETURN_IF_ERROR(CheckRange("num_blocks_per_rank", in.num_blocks_per_rank(), 1, kSizeMax));
  return EngineLimits{.context_tokens_max = in.context_tokens_max(),
                      .cache_tokens_per_rank = in.cache_tokens_per_rank(),
                      .vocab_size = in.vocab_size(),
                      .num_ranks = in.num_ranks(),
                      .block_tokens = in.block_tokens(),
                      .num_blocks_per_rank = in.num_blocks_per_rank(),
                      .has_prefix_cache = in.has_prefix_cache()};
}

void ToProto(const EngineStatus& status, absl::Time now, pb::EngineStatus& out) {
  out.set_ready(status.ready);
  out.set_reason(status.reason.substr(0, kReasonBytesMax));
  out.set_num_waiting(status.num_waiting);
  out.set_num_running(status.num_running);
  out.set_num_blocks_used(status.num_blocks_used);
  out.set_num_blocks_total(status.num_blocks_total);
  out.set_num_waiting_tokens(status.num_waiting_tokens);
  if (status.last_progress != absl::InfinitePast()) {
    out.set_last_progress_ago_us(absl::ToInt64Microseconds(now - status.last_progress));
  }
  out.set_num_steps(status.num_steps);
  out.set_num_preemptions(status.num_preemptions);
  out.set_num_prompt_tokens(status.num_prompt_tokens);
  out.set_num_generated_tokens(status.num_generated_tokens);
  out.set_num_cached_prompt_tokens(status.num_cached_prompt_tokens);
  out.set_num_failed_numeric(status.num_failed_numeric);
  out.set_num_refused(status.num_refused);
  out.set_num_step_tokens(status.num_step_tokens);
  out.mutable_num_finished()->Add(status.num_finished.begin(), status.num_finished.end());
  out.mutable_num_steps_by_tokens()->Add(status.num_steps_by_tokens.begin(), status.num_steps_by_tokens.end());
  out.set_num_prefix_cache_queries(status.num_prefix_cache_queries);
  out.set_num_prefix_cache_hits(status.num_prefix_cache_hits);
  out.set_num_prefix_cache_collisions(status.num_prefix_cache_collisions);
  out.set_num_drafts(status.num_drafts);
  out.set_num_draft_tokens(status.num_draft_tokens);
  out.mutable_num_accepted_by_position()->Add(status.num_accepted_by_position.begin(),
                                              status.num_accepted_by_position.end());
}

absl::StatusOr<EngineStatus> FromProto(const pb::EngineStatus& in, absl::Time now) {
  TESSERA_RETURN_IF_ERROR(CheckCounts(in));
  EngineStatus out{.ready = in.ready(),
                   .reason = in.reason().substr(0, kReasonBytesMax),
                   .num_waiting = in.num_waiting(),
                   .num_running = in.num_running(),
                   .num_blocks_used = in.num_blocks_used(),
                   .num_blocks_total = in.num_blocks_total(),
                   .num_steps = in.num_steps(),
                   .num_preemptions = in.num_preemptions(),
                   .num_prompt_tokens = in.num_prompt_tokens(),
                   .num_generated_tokens = in.num_generated_tokens(),
                   .num_cached_prompt_tokens = in.num_cached_prompt_tokens(),
                   .num_prefix_cache_queries = in.num_prefix_cache_queries(),
                   .num_prefix_cache_hits = in.num_prefix_cache_hits(),
                   .num_prefix_cache_collisions = in.num_prefix_cache_collisions(),
                   .num_drafts = in.num_drafts(),
                   .num_draft_tokens = in.num_draft_tokens(),
                   .num_failed_numeric = in.num_failed_numeric(),
                   .num_waiting_tokens = in.num_waiting_tokens(),
                   .num_refused = in.num_refused(),
                   .num_step_tokens = in.num_step_tokens()};
  TESSERA_RETURN_IF_ERROR(CopyCounts("num_finished", in.num_finished(), out.num_finished));
  TESSERA_RETURN_IF_ERROR(
      CopyCounts("num_accepted_by_position", in.num_accepted_by_position(), out.num_accepted_by_position));
  TESSERA_RETURN_IF_ERROR(CopyCounts("num_steps_by_tokens", in.num_steps_by_tokens(), out.num_steps_by_tokens));
  if (in.has_last_progress_ago_us()) out.last_progress = now - absl::Microseconds(in.last_progress_ago_us());
  return out;
}

}  // namespace tessera::wire
