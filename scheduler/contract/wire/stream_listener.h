#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace tessera::wire {

// Hears what a stream brings, on gRPC's threads, one call at a time for each stream. Must not block.
template <typename In>
class StreamListener {
 public:
  virtual ~StreamListener() = default;

  // The message may be emptied.
  virtual void OnMessage(In& message) = 0;

  // Once, last. OK: the peer ended the stream in order.
  virtual void OnClosed(const absl::Status& status) = 0;
};

// The largest message that either end of a stream accepts: the prompts of a step that many sequences begin in.
inline constexpr int kMessageBytesMax = 256 << 20;

// What may wait unread at either end, unless its user says otherwise; more of it loses the peer its stream.
inline constexpr int64_t kUnreadBytesMax = 256 << 20;

}  // namespace tessera::wire
