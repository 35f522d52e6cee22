#include "server/session/event_queue.h"

#include <utility>

namespace tessera {
namespace {

int64_t LogprobBytes(const std::vector<PositionLogprobs>& positions) {
  size_t bytes = positions.size() * sizeof(PositionLogprobs);
  for (const PositionLogprobs& position : positions) bytes += position.top.size() * sizeof(TokenLogprob);
  return static_cast<int64_t>(bytes);
}

int64_t Bytes(const ChoiceDelta& delta) {
  size_t bytes =
      sizeof(GenerateEvent) + delta.text.size() + delta.reasoning.size() + delta.token_ids.size() * sizeof(TokenId);
  for (const ToolCallDelta& call : delta.tool_calls) {
    bytes += sizeof(ToolCallDelta) + call.id.size() + call.name.size() + call.arguments.size();
  }
  return static_cast<int64_t>(bytes) + LogprobBytes(delta.logprobs);
}

}  // namespace

bool EventQueue::TryPush(GenerateEvent event) {
  const auto* delta = std::get_if<ChoiceDelta>(&event);
  const int64_t bytes = delta != nullptr ? Bytes(*delta) : 0;
  MutexLock lock(mutex_);
  if (num_bytes_ + bytes > bytes_max_) return false;
  num_bytes_ += bytes;
  events_.push_back(std::move(event));
  return true;
}

std::vector<GenerateEvent> EventQueue::Take() {
  MutexLock lock(mutex_);
  num_bytes_ = 0;
  return std::exchange(events_, {});
}

}  // namespace tessera
