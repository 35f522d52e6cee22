#include "scheduler/contract/wire/logprobs_proto.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/request.h"
#include "scheduler/contract/wire/check_field.h"

namespace tessera::wire {
namespace {

void Encode(const TokenLogprob& logprob, pb::TokenLogprob& out) {
  out.set_token(logprob.token);
  out.set_logprob(logprob.logprob);
}

absl::StatusOr<TokenLogprob> Decode(const pb::TokenLogprob& in, int32_t vocab_size) {
  TESSERA_RETURN_IF_ERROR(CheckRange("token", in.token(), 0, vocab_size - 1));
  if (!(std::isfinite(in.logprob()) && in.logprob() >= kLogprobFloor)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("logprob: got %g, wanted a number from %g on", in.logprob(), kLogprobFloor));
  }
  return TokenLogprob{.token = in.token(), .logprob = in.logprob()};
}

absl::StatusOr<PositionLogprobs> Decode(const pb::PositionLogprobs& in, int32_t vocab_size) {
  TESSERA_RETURN_IF_ERROR(CheckRange("top: number", in.top_size(), 0, kMaxLogprobs));
  PositionLogprobs position;
  TESSERA_ASSIGN_OR_RETURN(position.token, Decode(in.token(), vocab_size));
  position.top.reserve(static_cast<size_t>(in.top_size()));
  for (const pb::TokenLogprob& top : in.top()) {
    TESSERA_ASSIGN_OR_RETURN(const TokenLogprob logprob, Decode(top, vocab_size));
    position.top.push_back(logprob);
  }
  return position;
}

}  // namespace

void ToProto(const std::vector<PositionLogprobs>& positions, PositionLogprobsProtos& out) {
  out.Reserve(static_cast<int>(positions.size()));
  for (const PositionLogprobs& position : positions) {
    pb::PositionLogprobs& to = *out.Add();
    Encode(position.token, *to.mutable_token());
    for (const TokenLogprob& top : position.top) Encode(top, *to.add_top());
  }
}

absl::StatusOr<std::vector<PositionLogprobs>> FromProto(const PositionLogprobsProtos& in, std::string_view field,
                                                        int32_t vocab_size) {
  std::vector<PositionLogprobs> positions;
  positions.reserve(static_cast<size_t>(in.size()));
  for (int i = 0; i < in.size(); ++i) {
    absl::StatusOr<PositionLogprobs> position = Decode(in.Get(i), vocab_size);
    if (!position.ok()) return Within(absl::StrFormat("%s[%d].", field, i), position.status());
    positions.push_back(*std::move(position));
  }
  return positions;
}

}  // namespace tessera::wire
