#pragma once

#include "absl/status/statusor.h"
#include "scheduler/contract/step_result.h"
#include "scheduler/contract/worker_port.h"
#include "tessera/internal/v1/worker.pb.h"

namespace tessera::wire {

namespace pb = ::tessera::internal::v1;

void ToProto(const StepResult& result, pb::StepResult& out);

// Checks sizes, ranges and ids, and that finish and status agree; whether the sequences exist is the engine's to say.
absl::StatusOr<StepResult> FromProto(const pb::StepResult& in, const WorkerLimits& limits);

}  // namespace tessera::wire
