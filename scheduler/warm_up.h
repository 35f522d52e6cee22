#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/ids.h"
#include "scheduler/contract/worker_port.h"

namespace tessera {

// The steps of a warm-up, numbered from `first_step` on.
inline constexpr int64_t kWarmUpSteps = 3;

// Runs one tiny sequence on each rank: a prefill step, a decode step, and one that frees it. Fails when the group is
// broken or a rank's answer is not a token. Requires: no step under way, no block in use; the ids from
// `first_sequence` on, one per rank, are not used elsewhere.
absl::Status WarmUpWorkers(WorkerPort& worker, int64_t first_step, SequenceId first_sequence);

}  // namespace tessera
