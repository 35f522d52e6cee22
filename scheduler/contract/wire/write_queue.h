#pragma once

#include <cstdint>
#include <deque>
#include <utility>

namespace tessera::wire {

// Messages that wait to be written to a stream, of which one at a time is on its way. Not thread-safe.
template <typename Message>
class WriteQueue {
 public:
  explicit WriteQueue(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // False if so much waits that the peer does not read; nothing is added then.
  [[nodiscard]] bool Push(Message message) {
    const int64_t num_bytes = kOverheadBytes + static_cast<int64_t>(message.ByteSizeLong());
    if (!waiting_.empty() && num_bytes_ + num_bytes > bytes_max_) return false;
    num_bytes_ += num_bytes;
    waiting_.push_back({std::move(message), num_bytes});
    return true;
  }

  // The message to be written now, or null if one is on its way or none waits. It stays where it is until Written().
  const Message* Next() {
    if (is_writing_ || waiting_.empty()) return nullptr;
    is_writing_ = true;
    return &waiting_.front().message;
  }

  void Written() {
    is_writing_ = false;
    num_bytes_ -= waiting_.front().num_bytes;
    waiting_.pop_front();
  }

  // Drops what is not on its way.
  void Clear() {
    waiting_.resize(is_writing_ ? 1 : 0);
    num_bytes_ = is_writing_ ? waiting_.front().num_bytes : 0;
  }

  bool is_writing() const { return is_writing_; }
  bool is_empty() const { return waiting_.empty(); }

 private:
  static constexpr int64_t kOverheadBytes = 128;  // of a message in memory, so that empty ones are bounded too

  struct Entry {
    Message message;
    int64_t num_bytes = 0;  // measured once: gRPC may be reading the message later
  };

  const int64_t bytes_max_;
  int64_t num_bytes_ = 0;      // of what waits
  std::deque<Entry> waiting_;  // a deque does not move its elements
  bool is_writing_ = false;
};

}  // namespace tessera::wire
