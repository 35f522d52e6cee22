#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "scheduler/contract/request.h"
#include "tessera/internal/v1/contract.pb.h"

namespace tessera::wire {

namespace pb = ::tessera::internal::v1;

void ToProto(const SamplingParams& params, pb::SamplingParams& out);

// Checks every range (scheduler/contract/request.h).
absl::StatusOr<SamplingParams> FromProto(const pb::SamplingParams& in, int32_t vocab_size);

}  // namespace tessera::wire
