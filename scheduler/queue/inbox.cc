#include "scheduler/queue/inbox.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace tessera {

absl::Status Inbox::Submit(Request request) {
  const int64_t num_tokens = static_cast<int64_t>(request.prompt.size() + request.generated.size());
  const MutexLock lock(mutex_);
  if (!closed_.ok()) return closed_;
  if (open_.contains(request.id)) {
    return absl::AlreadyExistsError(absl::StrFormat("request id %d is still open", request.id.value));
  }
  if (num_waiting_ >= limits_.num_requests_max) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "the queue is full: %d requests wait, at most %d may; try later", num_waiting_, limits_.num_requests_max));
  }
  // An empty queue takes any request, so that the bound cannot refuse one for ever.
  if (num_waiting_ > 0 && num_waiting_tokens_ + num_tokens > limits_.num_tokens_max) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("the queue is full: %d tokens wait, this request has %d, at most %d may wait; try later",
                        num_waiting_tokens_, num_tokens, limits_.num_tokens_max));
  }
  open_.emplace(request.id, false);
  ++num_waiting_;
  num_waiting_tokens_ += num_tokens;
  commands_.submissions.push_back(std::move(request));
  needed_.NotifyOne();
  return absl::OkStatus();
}

void Inbox::Cancel(RequestId id) {
  const MutexLock lock(mutex_);
  const auto entry = open_.find(id);
  if (entry == open_.end() || entry->second) return;
  entry->second = true;
  commands_.cancellations.push_back(id);
  needed_.NotifyOne();
}

void Inbox::Stop() {
  const MutexLock lock(mutex_);
  stopped_ = true;
  needed_.NotifyOne();
}

void Inbox::Close(absl::Status reason) {
  const MutexLock lock(mutex_);
  if (closed_.ok()) closed_ = std::move(reason);
}

void Inbox::Take(Commands& commands) {
  commands.submissions.clear();
  commands.cancellations.clear();
  const MutexLock lock(mutex_);
  std::swap(commands, commands_);
}

void Inbox::Apply(const QueueChange& change) {
  const MutexLock lock(mutex_);
  num_waiting_ += change.num_requests;
  num_waiting_tokens_ += change.num_tokens;
  for (const RequestId id : change.ended) open_.erase(id);
}

void Inbox::WaitForCommands() {
  const MutexLock lock(mutex_);
  while (!stopped_ && commands_.submissions.empty() && commands_.cancellations.empty()) needed_.Wait(mutex_);
}

bool Inbox::stopped() const {
  const MutexLock lock(mutex_);
  return stopped_;
}

int32_t Inbox::num_waiting() const {
  const MutexLock lock(mutex_);
  return num_waiting_;
}

int64_t Inbox::num_waiting_tokens() const {
  const MutexLock lock(mutex_);
  return num_waiting_tokens_;
}

}  // namespace tessera
