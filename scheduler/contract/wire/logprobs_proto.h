#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/contract/token_batch.h"
#include "tessera/internal/v1/contract.pb.h"

namespace tessera::wire {

namespace pb = ::tessera::internal::v1;

using PositionLogprobsProtos = google::protobuf::RepeatedPtrField<pb::PositionLogprobs>;

void ToProto(const std::vector<PositionLogprobs>& positions, PositionLogprobsProtos& out);

// Refuses unknown tokens, values that are not finite or below kLogprobFloor, and more than kMaxLogprobs likeliest ones.
absl::StatusOr<std::vector<PositionLogprobs>> FromProto(const PositionLogprobsProtos& in, std::string_view field,
                                                        int32_t vocab_size);

}  // namespace tessera::wire
