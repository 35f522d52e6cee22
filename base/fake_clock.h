#pragma once

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace tessera {

// A clock that stands still until a test advances it.
class FakeClock final : public Clock {
 public:
  absl::Time Now() const override {
    const MutexLock lock(mutex_);
    return now_;
  }

  void Advance(absl::Duration duration) {
    const MutexLock lock(mutex_);
    now_ += duration;
  }

 private:
  mutable Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_) = absl::FromUnixSeconds(1'700'000'000);
};

}  // namespace tessera
