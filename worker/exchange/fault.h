#pragma once

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"

namespace tessera {

// Why a rank's part in its group has ended; the first reason stays. Thread-safe.
class Fault {
 public:
  // False if there was a reason before. Requires: !reason.ok().
  bool Raise(const absl::Status& reason);

  bool is_raised() const { return is_raised_.load(std::memory_order_acquire); }
  absl::Status status() const;  // Ok while there is none

 private:
  mutable Mutex mutex_;
  absl::Status reason_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> is_raised_ = false;
};

}  // namespace tessera
