#include "scheduler/queue/waiting_queue.h"

#include "base/check.h"

namespace tessera {

void WaitingQueue::Add(const Precedence& precedence) { TESSERA_CHECK(waiting_.insert(precedence).second); }

void WaitingQueue::Remove(const Precedence& precedence) { TESSERA_CHECK(waiting_.erase(precedence) == 1); }

const Precedence& WaitingQueue::Front() const {
  TESSERA_CHECK(!waiting_.empty());
  return *waiting_.begin();
}

}  // namespace tessera
