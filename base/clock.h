#pragma once

#include "absl/time/time.h"

namespace tessera {

// Where code gets the time from, so that tests can move it by hand (base/fake_clock.h). Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

// The system's monotonic clock, anchored to wall time once at construction: Now() never goes back.
class RealClock final : public Clock {
 public:
  RealClock();
  absl::Time Now() const override;

 private:
  absl::Time wall_start_;
  int64_t monotonic_start_ns_;
};

}  // namespace tessera
