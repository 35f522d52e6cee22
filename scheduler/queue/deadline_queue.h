#pragma once

#include <optional>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "base/ids.h"

namespace tessera {

// The deadlines of open requests. Those without one (InfiniteFuture) cost nothing. Not thread-safe.
class DeadlineQueue {
 public:
  // Requires: not in the queue. O(log n).
  void Add(absl::Time deadline, RequestId request);

  // Does nothing if it has been popped or had no deadline. O(log n).
  void Remove(absl::Time deadline, RequestId request);

  // Takes out the request with the earliest deadline if that is at or before `now`; call until it returns nothing.
  std::optional<RequestId> PopExpired(absl::Time now);

  bool empty() const { return deadlines_.empty(); }

 private:
  absl::btree_set<std::pair<absl::Time, RequestId>> deadlines_;
};

}  // namespace tessera
