#pragma once

#include <cstdint>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "base/ids.h"
#include "scheduler/queue/fair_share.h"
#include "scheduler/queue/precedence.h"

namespace tessera {

// A request that waits to start, newly or again.
struct WaitingRequest {
  Precedence precedence;
  uint64_t client = 0;
  int64_t num_prompt_tokens = 0;
};

// The requests that wait to start. Strictly by priority; of one priority those first that have run before, in the order
// of their first start, then those that have not, shared among clients (fair_share.h). When nobody waits at a priority,
// nobody is held back by anybody, so its accounts are closed. Not thread-safe; its bound is the inbox's.
class WaitingQueue {
 public:
  // Requires: not in the queue. O(log n).
  void Add(const WaitingRequest& request);

  // It has ended. Requires: in the queue. O(log n).
  void Remove(const WaitingRequest& request);

  // The one that starts next. Requires: not empty. O(log n), amortized.
  RequestId Front();

  // Takes it out, because it starts. Returns where it stands from now on.
  Precedence StartFront();

  // A request that runs was given tokens. O(1); without effect while nobody waits at this priority.
  void Charge(int32_t priority, uint64_t client, int64_t num_tokens);

  bool empty() const { return num_waiting_ == 0; }
  size_t size() const { return num_waiting_; }

 private:
  bool ResumedGoesFirst() const;

  absl::btree_set<Precedence> resumed_;           // they have run before
  absl::btree_map<int32_t, FairShare> new_ones_;  // by priority; none is empty
  size_t num_waiting_ = 0;
  int64_t next_turn_ = 0;
};

}  // namespace tessera
