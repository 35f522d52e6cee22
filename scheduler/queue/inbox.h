#pragma once

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "scheduler/contract/request.h"

namespace tessera {

// Bounds of what may wait; running requests are not counted.
struct QueueLimits {
  int32_t num_requests_max = 0;
  int64_t num_tokens_max = 0;  // prompt and generated tokens of all waiting requests
};

// What other threads asked of the engine since it last looked. Submissions come first: a cancellation of one of them
// follows it.
struct Commands {
  std::vector<Request> submissions;
  std::vector<RequestId> cancellations;
};

// How a step changed what waits, told to the inbox once a step.
struct QueueChange {
  int32_t num_requests = 0;  // of the waiting ones: negative when requests left, positive when preempted ones came back
  int64_t num_tokens = 0;
  std::vector<RequestId> ended;  // waiting or running before; their ids are free again
};

// Where server threads leave submissions and cancellations for the engine thread. Bounded: submissions by QueueLimits,
// cancellations by the open requests (one each; of ended or unknown requests none is kept). Thread-safe; each call
// holds the lock for O(1).
class Inbox {
 public:
  explicit Inbox(QueueLimits limits) : limits_(limits) {}

  // Any thread. ResourceExhausted, AlreadyExists, or what Close() was given.
  absl::Status Submit(Request request);
  void Cancel(RequestId id);
  void Stop();  // makes WaitForCommands return at once from now on

  // Refuses all submissions with `reason` from now on; the first reason stays.
  void Close(absl::Status reason);

  // The engine thread. Take swaps `commands` (whose contents are dropped) with what came, to reuse its storage.
  void Take(Commands& commands);
  void Apply(const QueueChange& change);
  void WaitForCommands();

  bool stopped() const;
  int32_t num_waiting() const;  // taken or not
  int64_t num_waiting_tokens() const;

 private:
  const QueueLimits limits_;
  mutable Mutex mutex_;
  CondVar needed_;  // commands have come, or Stop()
  Commands commands_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<RequestId, bool> open_ ABSL_GUARDED_BY(mutex_);  // value: a cancellation was accepted
  int32_t num_waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t num_waiting_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);  // OK while open
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tessera
