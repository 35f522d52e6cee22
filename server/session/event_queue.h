#pragma once

#include <cstdint>
#include <vector>

#include "base/mutex.h"
#include "server/session/generate_event.h"

namespace tessera {

// The events that a client has not taken yet. Bounded: a client that does not read costs at most `bytes_max`. Prompt
// logprobs do not count against it: they come once, and are bounded by the prompt. Thread-safe.
class EventQueue {
 public:
  explicit EventQueue(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // False, and the event is dropped, if the client has left too much unread. FailedEvent and DoneEvent always fit.
  [[nodiscard]] bool TryPush(GenerateEvent event);

  // All events that wait, oldest first.
  std::vector<GenerateEvent> Take();

 private:
  const int64_t bytes_max_;
  Mutex mutex_;
  std::vector<GenerateEvent> events_ ABSL_GUARDED_BY(mutex_);
  int64_t num_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tessera
