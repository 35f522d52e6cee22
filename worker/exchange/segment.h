#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "worker/exchange/rank_links.h"

namespace tessera {

// The memory in which one rank shows the others of its host how far it is, and its outgoing messages. Its owner alone
// writes; others map it read-only, so no rank can harm another's. Pages take memory when first written.
class Segment {
 public:
  struct Layout {
    int32_t num_ranks = 0;
    std::array<int64_t, kNumCallKinds> outbox_bytes{};
  };
  // What is shown beside the messages; the memory starts as zeros.
  struct Head {
    std::atomic<uint32_t> num_posted;  // calls whose messages are complete; a futex
    std::atomic<uint32_t> is_aborted;  // the two below are complete
    int32_t abort_code;
    std::array<char, 500> abort_reason;  // ends with a zero
  };

  // For ranks that are threads of one process, or that share with nobody.
  static absl::StatusOr<std::shared_ptr<Segment>> CreatePrivate(const Layout& layout);
  // For other processes to open by this process's id and file_descriptor(). Leaves nothing behind, however the process
  // ends.
  static absl::StatusOr<std::shared_ptr<Segment>> CreateShared(const Layout& layout);
  static absl::StatusOr<std::shared_ptr<const Segment>> Open(int32_t process, int file_descriptor,
                                                             const Layout& layout);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  const Layout& layout() const { return layout_; }
  int file_descriptor() const { return file_descriptor_; }

  Head& head() { return *reinterpret_cast<Head*>(memory_); }
  const Head& head() const { return *reinterpret_cast<const Head*>(memory_); }
  // The call of a kind that was posted last, and its messages [ranks].
  CallPosition& position(CallKind kind) { return *reinterpret_cast<CallPosition*>(record(kind)); }
  const CallPosition& position(CallKind kind) const { return *reinterpret_cast<const CallPosition*>(record(kind)); }
  std::span<ByteRange> messages(CallKind kind);
  std::span<const ByteRange> messages(CallKind kind) const;

  std::span<std::byte> outbox(CallKind kind);
  std::span<const std::byte> outbox(CallKind kind) const;

 private:
  Segment(const Layout& layout, std::byte* memory, int64_t bytes, int file_descriptor)
      : layout_(layout), memory_(memory), bytes_(bytes), file_descriptor_(file_descriptor) {}
  std::byte* record(CallKind kind) const;

  const Layout layout_;
  std::byte* const memory_;  // head, a record for each kind, an outbox for each kind
  const int64_t bytes_;
  const int file_descriptor_;  // -1: private
};

}  // namespace tessera
