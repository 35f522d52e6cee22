#include "worker/exchange/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace tessera {
namespace {

constexpr int64_t kPage = 4096;
constexpr int64_t kHeadBytes = 1024;
static_assert(sizeof(Segment::Head) <= kHeadBytes);
static_assert(std::atomic<uint32_t>::is_always_lock_free);  // else it would not work between processes

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }
int64_t RecordBytes(const Segment::Layout& layout) {
  return RoundUp(static_cast<int64_t>(sizeof(CallPosition)) + layout.num_ranks * int64_t{sizeof(ByteRange)}, 64);
}
int64_t OutboxBegin(const Segment::Layout& layout, CallKind kind) {
  const int64_t first = RoundUp(kHeadBytes + kNumCallKinds * RecordBytes(layout), kPage);
  return kind == CallKind::kDispatch ? first : first + RoundUp(layout.outbox_bytes[0], kPage);
}
int64_t TotalBytes(const Segment::Layout& layout) {
  return OutboxBegin(layout, CallKind::kCombine) + RoundUp(layout.outbox_bytes[1], kPage);
}

absl::StatusOr<std::byte*> Map(int file_descriptor, int64_t bytes, int protection) {
  const int flags = (file_descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | MAP_NORESERVE;
  void* memory = ::mmap(nullptr, static_cast<size_t>(bytes), protection, flags, file_descriptor, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("exchange: cannot map %d bytes: %s", bytes, std::generic_category().message(errno)));
  }
  return static_cast<std::byte*>(memory);
}

}  // namespace

absl::StatusOr<std::shared_ptr<Segment>> Segment::CreatePrivate(const Layout& layout) {
  const int64_t bytes = TotalBytes(layout);
  absl::StatusOr<std::byte*> memory = Map(-1, bytes, PROT_READ | PROT_WRITE);
  if (!memory.ok()) return memory.status();
  return std::shared_ptr<Segment>(new Segment(layout, *memory, bytes, -1));
}

absl::StatusOr<std::shared_ptr<Segment>> Segment::CreateShared(const Layout& layout) {
  const int64_t bytes = TotalBytes(layout);
  const int file_descriptor = ::memfd_create("tessera-exchange", MFD_CLOEXEC);
  if (file_descriptor < 0 || ::ftruncate(file_descriptor, bytes) != 0) {
    const absl::Status failed = absl::ResourceExhaustedError(absl::StrFormat(
        "exchange: cannot make %d bytes of shared memory: %s", bytes, std::generic_category().message(errno)));
    if (file_descriptor >= 0) ::close(file_descriptor);
    return failed;
  }
  absl::StatusOr<std::byte*> memory = Map(file_descriptor, bytes, PROT_READ | PROT_WRITE);
  if (!memory.ok()) {
    ::close(file_descriptor);
    return memory.status();
  }
  return std::shared_ptr<Segment>(new Segment(layout, *memory, bytes, file_descriptor));
}

absl::StatusOr<std::shared_ptr<const Segment>> Segment::Open(int32_t process, int file_descriptor,
                                                             const Layout& layout) {
  const std::string path = absl::StrFormat("/proc/%d/fd/%d", process, file_descriptor);
  const int mine = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (mine < 0) {
    return absl::UnavailableError(absl::StrFormat("exchange: cannot open the shared memory of process %d (%s): %s",
                                                  process, path, std::generic_category().message(errno)));
  }
  const int64_t bytes = TotalBytes(layout);
  struct stat info {};
  if (::fstat(mine, &info) != 0 || info.st_size != bytes) {
    ::close(mine);
    return absl::FailedPreconditionError(absl::StrFormat(
        "exchange: the shared memory of process %d has %d bytes, wanted %d", process, info.st_size, bytes));
  }
  absl::StatusOr<std::byte*> memory = Map(mine, bytes, PROT_READ);
  ::close(mine);
  if (!memory.ok()) return memory.status();
  return std::shared_ptr<const Segment>(new Segment(layout, *memory, bytes, -1));
}

Segment::~Segment() {
  ::munmap(memory_, static_cast<size_t>(bytes_));
  if (file_descriptor_ >= 0) ::close(file_descriptor_);
}

std::byte* Segment::record(CallKind kind) const {
  return memory_ + kHeadBytes + static_cast<int>(kind) * RecordBytes(layout_);
}

std::span<ByteRange> Segment::messages(CallKind kind) {
  return {reinterpret_cast<ByteRange*>(record(kind) + sizeof(CallPosition)), static_cast<size_t>(layout_.num_ranks)};
}

std::span<const ByteRange> Segment::messages(CallKind kind) const {
  return {reinterpret_cast<const ByteRange*>(record(kind) + sizeof(CallPosition)),
          static_cast<size_t>(layout_.num_ranks)};
}

std::span<std::byte> Segment::outbox(CallKind kind) {
  return {memory_ + OutboxBegin(layout_, kind), static_cast<size_t>(layout_.outbox_bytes[static_cast<size_t>(kind)])};
}

std::span<const std::byte> Segment::outbox(CallKind kind) const {
  return {memory_ + OutboxBegin(layout_, kind), static_cast<size_t>(layout_.outbox_bytes[static_cast<size_t>(kind)])};
}

}  // namespace tessera
