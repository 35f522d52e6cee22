#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "scheduler/contract/engine_port.h"
#include "scheduler/contract/step_result.h"
#include "scheduler/rank_planner.h"

namespace tessera {

// What a group is doing, counted by the engine thread and read by all.
class StatusBoard {
 public:
  // The engine thread. `current` is seen by others once it is published.
  EngineStatus& current() { return current_; }
  void CountStep(const StepCounts& counts, absl::Time now);
  void CountDrafts(const StepResult& result);  // Requires: CheckResults() is OK.
  void Publish();

  // Any thread.
  EngineStatus Read() const;  // without what waits: that is the inbox's
  void CountRefused();
  void SetDraining();

 private:
  EngineStatus current_;

  mutable Mutex mutex_;
  EngineStatus published_ ABSL_GUARDED_BY(mutex_);
  int64_t num_refused_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tessera
