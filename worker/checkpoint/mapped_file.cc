#include "worker/checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_format.h"

namespace tessera {
namespace {

absl::Status Failed(const std::string& path, std::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrFormat("%s: %s: %s", path, what, std::generic_category().message(errno)));
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return Failed(path, "cannot be opened");
  struct stat info = {};
  void* data = nullptr;
  absl::Status status;
  if (fstat(descriptor, &info) != 0) {
    status = Failed(path, "cannot be examined");
  } else if (!S_ISREG(info.st_mode)) {
    status = absl::FailedPreconditionError(absl::StrFormat("%s: is not a regular file", path));
  } else if (info.st_size == 0) {
    status = absl::InvalidArgumentError(absl::StrFormat("%s: is empty", path));
  } else {
    data = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
    if (data == MAP_FAILED) status = Failed(path, "cannot be mapped");
  }
  close(descriptor);  // the mapping stays
  if (!status.ok()) return status;
  return MappedFile(static_cast<const char*>(data), static_cast<size_t>(info.st_size));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
}

// Widened to whole pages, or narrowed when neighbours of the range must keep theirs.
void MappedFile::Advise(int64_t begin, int64_t size, int advice, bool whole_pages_only) const {
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t end = begin + size;
  const int64_t first = whole_pages_only ? (begin + page - 1) / page * page : begin / page * page;
  const int64_t last = whole_pages_only ? end / page * page : end;
  if (last <= first) return;
  // A hint: when the kernel refuses it, reading is slower and nothing else.
  static_cast<void>(madvise(const_cast<char*>(data_) + first, static_cast<size_t>(last - first), advice));
}

void MappedFile::WillNeed(int64_t begin, int64_t size) const { Advise(begin, size, MADV_WILLNEED, false); }

void MappedFile::DontNeed(int64_t begin, int64_t size) const { Advise(begin, size, MADV_DONTNEED, true); }

}  // namespace tessera
