#include "base/clock.h"

#include <chrono>

#include "absl/time/clock.h"

namespace tessera {
namespace {

int64_t MonotonicNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

RealClock::RealClock() : wall_start_(absl::Now()), monotonic_start_ns_(MonotonicNs()) {}

absl::Time RealClock::Now() const { return wall_start_ + absl::Nanoseconds(MonotonicNs() - monotonic_start_ns_); }

}  // namespace tessera
