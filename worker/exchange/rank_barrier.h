#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace tessera {

// Where a rank stands: equal on all ranks that meet, or the ranks have lost each other.
struct RankPosition {
  int64_t step = 0;
  int32_t meeting = 0;  // counted from 0 in each step
  friend bool operator==(const RankPosition&, const RankPosition&) = default;
};

// All threads of a group meet here; none goes on before the last has come. Broken for good by the first failure:
// a rank that says so, ranks at different positions, or a rank that does not come within the timeout. Thread-safe.
class RankBarrier {
 public:
  RankBarrier(int32_t num_ranks, absl::Duration timeout);

  // Waits for all ranks. What a rank wrote before, the others can read after.
  absl::Status Meet(int32_t rank, RankPosition position);

  // Wakes everybody with this reason. The first reason stays.
  void Abort(const absl::Status& reason);

  absl::Status status() const;

 private:
  struct Arrival {
    bool here = false;
    RankPosition position;  // the last one at which the rank came
  };

  void AbortLocked(absl::Status reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CheckPositions() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string MissingRanks() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const absl::Duration timeout_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<Arrival> arrivals_ ABSL_GUARDED_BY(mutex_);  // [ranks]
  int32_t num_here_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t round_ ABSL_GUARDED_BY(mutex_) = 0;  // completed meetings
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tessera
