#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/worker_group.h"

namespace tessera {

// Options of a small F32 group over a checkpoint of tests/golden/model, its cache poisoned.
WorkerGroupOptions TestGroupOptions(int32_t num_ranks);

// Makes a group on the reference backend, or aborts. `clock` outlives it.
std::unique_ptr<InProcessWorkerGroup> MakeTestGroup(const Checkpoint& checkpoint, const WorkerGroupOptions& options,
                                                    const Clock& clock);

// A greedy sequence of `length` prompt tokens that differ with `seed`; ends after max_tokens.
AddedSequence TestSequence(int64_t id, int32_t length, int32_t max_tokens, int32_t seed = 0);

}  // namespace tessera
