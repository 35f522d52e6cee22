#include "scheduler/queue/deadline_queue.h"

#include "base/check.h"

namespace tessera {

void DeadlineQueue::Add(absl::Time deadline, RequestId request) {
  if (deadline == absl::InfiniteFuture()) return;
  TESSERA_CHECK(deadlines_.emplace(deadline, request).second);
}

void DeadlineQueue::Remove(absl::Time deadline, RequestId request) { deadlines_.erase({deadline, request}); }

std::optional<RequestId> DeadlineQueue::PopExpired(absl::Time now) {
  if (deadlines_.empty() || deadlines_.begin()->first > now) return std::nullopt;
  const RequestId request = deadlines_.begin()->second;
  deadlines_.erase(deadlines_.begin());
  return request;
}

}  // namespace tessera
