#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tessera {

// The calls of an exchange: they alternate, dispatch first. Each kind has memory of its own, so a message can be read
// where it lies until the next call of its kind: nobody writes it before having seen everybody in the call between.
enum class CallKind : uint8_t { kDispatch, kCombine };
inline constexpr int kNumCallKinds = 2;

// Where a rank stands: equal on all ranks that exchange, or the ranks have lost each other.
struct CallPosition {
  int64_t step = 0;
  int32_t call = 0;  // counted from 0 in each step
  CallKind kind = CallKind::kDispatch;
  friend bool operator==(const CallPosition&, const CallPosition&) = default;
};
std::string Describe(const CallPosition& position);  // such as "step 7, call 2 (dispatch)"

struct ByteRange {
  int64_t begin = 0;
  int64_t size = 0;
};

// One call as this rank sees it: a message to each peer, a message from each.
struct LinkCall {
  static constexpr int64_t kUnknown = -1;

  CallPosition position;
  int64_t index = 0;                  // 1, 2, … over the life of the links
  std::span<const ByteRange> out;     // [ranks]; of the outbox of this kind; free to change after Collect
  std::span<const int64_t> in_bytes;  // [ranks]; what each peer sends in this call, or kUnknown
  absl::Time deadline;
};

// Carries messages between this rank and some of the others, its peers; one means of transport. A rank posts on all of
// its links, then collects from all, so every rank has sent before any waits. After an error the links are of no use.
// Used by one thread, Abort by any.
class RankLinks {
 public:
  virtual ~RankLinks() = default;

  virtual absl::Status Post(const LinkCall& call) = 0;

  // Waits until in[peer] holds the message of every peer (readable until the next Post of the same kind) and all of
  // this rank's messages have been taken over. Sizes are what the peer says, or call.in_bytes.
  virtual absl::Status Collect(const LinkCall& call, std::span<std::span<const std::byte>> in) = 0;

  // Ends calls under way, here at once and on the peers soon.
  virtual void Abort(const absl::Status& reason) = 0;

  virtual int64_t bytes_sent() const = 0;  // headers included
};

}  // namespace tessera
