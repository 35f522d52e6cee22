#pragma once

#include "absl/status/statusor.h"
#include "scheduler/contract/worker_port.h"
#include "tessera/internal/v1/worker.pb.h"

namespace tessera::wire {

namespace pb = ::tessera::internal::v1;

void ToProto(const WorkerLimits& limits, pb::WorkerLimits& out);

// Refuses sizes that no worker can have: later code divides by them and allocates by them.
absl::StatusOr<WorkerLimits> FromProto(const pb::WorkerLimits& in);

}  // namespace tessera::wire
