#include "worker/exchange/shared_memory_links.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

// How long a wait goes on without looking for an abort or a death elsewhere.
constexpr absl::Duration kWaitSlice = absl::Milliseconds(20);
constexpr int kSpins = 2000;

void FutexWait(const std::atomic<uint32_t>& word, uint32_t value, absl::Duration timeout) {
  const timespec limit = absl::ToTimespec(std::max(timeout, absl::ZeroDuration()));
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &limit, nullptr, 0);
}

void FutexWakeAll(std::atomic<uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class SharedMemoryLinks final : public RankLinks {
 public:
  SharedMemoryLinks(int32_t rank, std::shared_ptr<Segment> mine, std::vector<Neighbour> neighbours, bool spin,
                    const Fault& fault)
      : rank_(rank),
        mine_(std::move(mine)),
        neighbours_(std::move(neighbours)),
        spins_(spin ? kSpins : 0),
        fault_(fault) {}

  absl::Status Post(const LinkCall& call) override {
    const CallKind kind = call.position.kind;
    mine_->position(kind) = call.position;
    for (const Neighbour& neighbour : neighbours_) {
      const ByteRange& message = call.out[static_cast<size_t>(neighbour.rank)];
      mine_->messages(kind)[static_cast<size_t>(neighbour.rank)] = message;
      bytes_sent_ += message.size + static_cast<int64_t>(sizeof(ByteRange));
    }
    mine_->head().num_posted.store(static_cast<uint32_t>(call.index), std::memory_order_release);
    FutexWakeAll(mine_->head().num_posted);
    return absl::OkStatus();
  }

  absl::Status Collect(const LinkCall& call, std::span<std::span<const std::byte>> in) override {
    for (const Neighbour& neighbour : neighbours_) {
      TESSERA_RETURN_IF_ERROR(WaitFor(neighbour, call));
      TESSERA_RETURN_IF_ERROR(Take(neighbour, call, in[static_cast<size_t>(neighbour.rank)]));
    }
    return absl::OkStatus();
  }

  void Abort(const absl::Status& reason) override {
    Segment::Head& head = mine_->head();
    head.abort_code = static_cast<int32_t>(reason.code());
    const std::string text(reason.message());
    std::strncpy(head.abort_reason.data(), text.c_str(), head.abort_reason.size() - 1);
    head.is_aborted.store(1, std::memory_order_release);
    FutexWakeAll(head.num_posted);
  }

  int64_t bytes_sent() const override { return bytes_sent_; }

 private:
  static bool HasPosted(const Neighbour& neighbour, const LinkCall& call) {
    const uint32_t posted = neighbour.segment->head().num_posted.load(std::memory_order_acquire);
    return static_cast<int32_t>(posted - static_cast<uint32_t>(call.index)) >= 0;  // right after 2³² calls too
  }

  absl::Status WaitFor(const Neighbour& neighbour, const LinkCall& call) const {
    for (int spin = 0; spin < spins_ && !HasPosted(neighbour, call); ++spin) Pause();
    const std::atomic<uint32_t>& word = neighbour.segment->head().num_posted;
    while (true) {
      const uint32_t seen = word.load(std::memory_order_acquire);
      if (HasPosted(neighbour, call)) return absl::OkStatus();
      TESSERA_RETURN_IF_ERROR(CheckGroup(neighbour, call));
      FutexWait(word, seen, std::min(kWaitSlice, call.deadline - absl::Now()));
    }
  }

  // Whether waiting for this neighbour still makes sense.
  absl::Status CheckGroup(const Neighbour& awaited, const LinkCall& call) const {
    if (fault_.is_raised()) return fault_.status();
    for (const Neighbour& neighbour : neighbours_) {
      const Segment::Head& head = neighbour.segment->head();
      if (head.is_aborted.load(std::memory_order_acquire) != 0) {
        return absl::Status(static_cast<absl::StatusCode>(head.abort_code), head.abort_reason.data());
      }
      // One that has sent all it owes may go.
      if (!HasPosted(neighbour, call) && neighbour.process.has_ended() && !HasPosted(neighbour, call)) {
        return absl::UnavailableError(
            absl::StrFormat("lost rank %d: its process %d has ended", neighbour.rank, neighbour.process.process()));
      }
    }
    if (absl::Now() < call.deadline) return absl::OkStatus();
    return absl::DeadlineExceededError(absl::StrFormat("rank %d did not come in time: it has made %d calls, this is %d",
                                                       awaited.rank, awaited.segment->head().num_posted.load(),
                                                       call.index));
  }

  absl::Status Take(const Neighbour& neighbour, const LinkCall& call, std::span<const std::byte>& in) const {
    const CallKind kind = call.position.kind;
    const CallPosition& position = neighbour.segment->position(kind);
    if (position != call.position) {
      return absl::InternalError(
          absl::StrFormat("the ranks have lost each other: rank %d is in %s", neighbour.rank, Describe(position)));
    }
    const ByteRange message = neighbour.segment->messages(kind)[static_cast<size_t>(rank_)];
    const std::span<const std::byte> outbox = neighbour.segment->outbox(kind);
    const int64_t wanted = call.in_bytes[static_cast<size_t>(neighbour.rank)];
    const auto limit = static_cast<int64_t>(outbox.size());
    if (message.begin < 0 || message.size < 0 || message.begin > limit || message.size > limit - message.begin ||
        (wanted != LinkCall::kUnknown && wanted != message.size)) {
      return absl::InternalError(absl::StrFormat("rank %d sent %d bytes from %d of %d, wanted %d", neighbour.rank,
                                                 message.size, message.begin, limit, wanted));
    }
    in = outbox.subspan(static_cast<size_t>(message.begin), static_cast<size_t>(message.size));
    return absl::OkStatus();
  }

  const int32_t rank_;
  const std::shared_ptr<Segment> mine_;
  const std::vector<Neighbour> neighbours_;
  const int spins_;
  const Fault& fault_;
  int64_t bytes_sent_ = 0;
};

}  // namespace

absl::StatusOr<ProcessWatch> ProcessWatch::Open(int32_t process) {
#ifndef SYS_pidfd_open
  constexpr long SYS_pidfd_open = 434;  // NOLINT(google-runtime-int): what syscall takes
#endif
  ProcessWatch watch;
  watch.process_ = process;
  watch.file_descriptor_ = static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
  if (watch.file_descriptor_ < 0) {
    return absl::UnavailableError(
        absl::StrFormat("exchange: cannot watch process %d: %s", process, std::generic_category().message(errno)));
  }
  return watch;
}

ProcessWatch::ProcessWatch(ProcessWatch&& other) noexcept
    : process_(other.process_), file_descriptor_(std::exchange(other.file_descriptor_, -1)) {}

ProcessWatch& ProcessWatch::operator=(ProcessWatch&& other) noexcept {
  std::swap(process_, other.process_);
  std::swap(file_descriptor_, other.file_descriptor_);
  return *this;
}

ProcessWatch::~ProcessWatch() {
  if (file_descriptor_ >= 0) ::close(file_descriptor_);
}

bool ProcessWatch::has_ended() const {
  if (file_descriptor_ < 0) return false;
  pollfd wanted = {.fd = file_descriptor_, .events = POLLIN, .revents = 0};
  return ::poll(&wanted, 1, 0) > 0;
}

std::unique_ptr<RankLinks> MakeSharedMemoryLinks(int32_t rank, std::shared_ptr<Segment> mine,
                                                 std::vector<Neighbour> neighbours, bool spin, const Fault& fault) {
  return std::make_unique<SharedMemoryLinks>(rank, std::move(mine), std::move(neighbours), spin, fault);
}

}  // namespace tessera
