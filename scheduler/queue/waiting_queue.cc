#include "scheduler/queue/waiting_queue.h"

#include "base/check.h"

namespace tessera {

void WaitingQueue::Add(const WaitingRequest& request) {
  const Precedence& precedence = request.precedence;
  if (precedence.turn == Precedence::kNotStarted) {
    new_ones_[precedence.priority].Add(request.client, precedence, request.num_prompt_tokens);
  } else {
    TESSERA_CHECK(resumed_.insert(precedence).second);
  }
  ++num_waiting_;
}

void WaitingQueue::Remove(const WaitingRequest& request) {
  const Precedence& precedence = request.precedence;
  if (precedence.turn == Precedence::kNotStarted) {
    const auto share = new_ones_.find(precedence.priority);
    TESSERA_CHECK(share != new_ones_.end());
    share->second.Remove(request.client, precedence);
    if (share->second.empty()) new_ones_.erase(share);
  } else {
    TESSERA_CHECK(resumed_.erase(precedence) == 1);
  }
  --num_waiting_;
}

RequestId WaitingQueue::Front() {
  TESSERA_CHECK(!empty());
  if (ResumedGoesFirst()) return resumed_.begin()->request;
  return new_ones_.begin()->second.Front().request;
}

Precedence WaitingQueue::StartFront() {
  TESSERA_CHECK(!empty());
  --num_waiting_;
  if (ResumedGoesFirst()) {
    const Precedence resumed = *resumed_.begin();
    resumed_.erase(resumed_.begin());
    return resumed;
  }
  const auto share = new_ones_.begin();
  Precedence started = share->second.Front();
  started.turn = next_turn_++;
  share->second.StartFront();
  if (share->second.empty()) new_ones_.erase(share);
  return started;
}

void WaitingQueue::Charge(int32_t priority, uint64_t client, int64_t num_tokens) {
  if (new_ones_.empty()) return;
  const auto share = new_ones_.find(priority);
  if (share != new_ones_.end()) share->second.Charge(client, num_tokens);
}

bool WaitingQueue::ResumedGoesFirst() const {
  return !resumed_.empty() && (new_ones_.empty() || resumed_.begin()->priority <= new_ones_.begin()->first);
}

}  // namespace tessera
