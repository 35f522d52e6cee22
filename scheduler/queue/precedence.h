#pragma once

#include <compare>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"
#include "base/ids.h"

namespace tessera {

// Where a request stands among others: lower runs earlier. Those that have started once, running or preempted, stand in
// the order of their first start, before all that have not: a preempted request keeps its place.
struct Precedence {
  static constexpr int64_t kNotStarted = std::numeric_limits<int64_t>::max();

  int32_t priority = 0;
  int64_t turn = kNotStarted;  // number of its first start
  absl::Time arrival;
  RequestId request;  // last, so that the order is total and does not depend on memory addresses

  friend std::strong_ordering operator<=>(const Precedence& a, const Precedence& b) = default;
};

}  // namespace tessera
