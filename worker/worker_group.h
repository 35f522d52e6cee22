#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "kernels/backend.h"
#include "scheduler/contract/worker_port.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/model/memory_plan.h"

namespace tessera {

struct WorkerGroupOptions {
  int32_t num_ranks = 1;
  Precision precision = Precision::kBF16;
  int32_t draft_tokens = 0;                        // that plans may ask for; > 0: with MTP module and its cache layer
  int32_t step_tokens_max = 2048;                  // tokens one rank runs in one step
  int32_t sequences_max = 256;                     // alive on one rank
  int32_t context_tokens_max = 0;                  // 0: the model's max_position_embeddings
  int32_t num_blocks = 0;                          // cache blocks of each rank; 0: as many as fit into cache_bytes_max
  int64_t cache_bytes_max = 0;                     // of each rank
  int32_t valid_vocab = 0;                         // ids from here on are padding rows, never sampled; 0: all are valid
  bool check_finite = true;                        // refuse weights that hold NaN or infinities; reads them once more
  bool poison_cache = false;                       // fill unwritten cache with NaN, to find stale reads
  absl::Duration rank_timeout = absl::Minutes(2);  // a rank that does not come to an exchange breaks the group
};
absl::Status Validate(const WorkerGroupOptions& options, const ModelConfig& config);

// Makes the device of one rank; called once for each, in rank order.
using BackendFactory = std::function<absl::StatusOr<std::unique_ptr<Backend>>(int32_t rank)>;

// Called while weights are loaded, on the calling thread: over all ranks.
using GroupLoadProgress = std::function<void(int64_t num_done, int64_t num_total)>;

// All ranks of a group in this process, one thread each with its own backend, weights and cache. Everything is loaded
// and reserved, and one forward pass has run, when Create returns. The first error of a rank breaks the group for good.
class InProcessWorkerGroup : public WorkerPort {
 public:
  // `checkpoint` is read during Create only. `clock` outlives the group.
  static absl::StatusOr<std::unique_ptr<InProcessWorkerGroup>> Create(const Checkpoint& checkpoint,
                                                                      const WorkerGroupOptions& options,
                                                                      const BackendFactory& make_backend,
                                                                      const Clock& clock,
                                                                      const GroupLoadProgress& progress = nullptr);

  // What each rank reserved. The weights are those really packed.
  virtual const MemoryPlan& memory() const = 0;
};

}  // namespace tessera
