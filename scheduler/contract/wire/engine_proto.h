#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/contract/engine_port.h"
#include "scheduler/contract/request.h"
#include "scheduler/contract/token_batch.h"
#include "tessera/internal/v1/engine.pb.h"

namespace tessera::wire {

namespace pb = ::tessera::internal::v1;

// Of the server–scheduler stream. Raised by a change that an older peer would misread.
inline constexpr uint32_t kEngineProtocolVersion = 1;

// `now`: the time here when the message is made, or has come. Times travel as durations.

void ToProto(const Request& request, absl::Time now, pb::Request& out);
// Checks every field (Validate of scheduler/contract/request.h); that it fits is the engine's to say.
absl::StatusOr<Request> FromProto(const pb::Request& in, int32_t vocab_size, absl::Time now);

void ToProto(const TokenBatch& batch, absl::Time now, pb::TokenBatch& out);
// Checks sizes, ranges and ids, and that finish and status agree; whose the tokens are is the receiver's to know.
absl::StatusOr<TokenBatch> FromProto(const pb::TokenBatch& in, int32_t vocab_size, absl::Time now);

void ToProto(const EngineLimits& limits, pb::EngineLimits& out);
// Refuses sizes that no group can have.
absl::StatusOr<EngineLimits> FromProto(const pb::EngineLimits& in);

void ToProto(const EngineStatus& status, absl::Time now, pb::EngineStatus& out);
absl::StatusOr<EngineStatus> FromProto(const pb::EngineStatus& in, absl::Time now);

}  // namespace tessera::wire
