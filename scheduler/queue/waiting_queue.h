#pragma once

#include <compare>
#include <cstdint>

#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "base/ids.h"

namespace tessera {

// Where a request stands among others: lower runs earlier. The same when it waits, runs, or waits again after
// preemption, so that a preempted request does not fall behind later ones.
struct Precedence {
  int32_t priority = 0;
  absl::Time arrival;
  RequestId request;  // last, so that the order is total and does not depend on memory addresses

  friend std::strong_ordering operator<=>(const Precedence& a, const Precedence& b) = default;
};

// The requests that wait to start, in order of precedence. Not thread-safe; its bound is the inbox's.
class WaitingQueue {
 public:
  // Requires: not in the queue. O(log n).
  void Add(const Precedence& precedence);

  // Requires: in the queue. O(log n).
  void Remove(const Precedence& precedence);

  // The one that runs next. Requires: not empty.
  const Precedence& Front() const;

  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }

 private:
  absl::btree_set<Precedence> waiting_;
};

}  // namespace tessera
