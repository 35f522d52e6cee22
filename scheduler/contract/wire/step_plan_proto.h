#pragma once

#include "absl/status/statusor.h"
#include "scheduler/contract/step_plan.h"
#include "scheduler/contract/worker_port.h"
#include "tessera/internal/v1/worker.pb.h"

namespace tessera::wire {

namespace pb = ::tessera::internal::v1;

void ToProto(const StepPlan& plan, pb::StepPlan& out);

// Checks sizes, ranges and ids against what the worker has; whether the sequences are there is the step runner's to
// say.
absl::StatusOr<StepPlan> FromProto(const pb::StepPlan& in, const WorkerLimits& limits);

}  // namespace tessera::wire
