#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tessera {

// A file mapped read-only into memory. Reading past what the file then holds, if somebody cuts it while it is mapped,
// ends the process (SIGBUS): checkpoints must not be changed while they are served.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::string_view bytes() const { return {data_, size_}; }

  // Hints for the pages of [begin, begin + size): they are needed soon; they are not needed again.
  void WillNeed(int64_t begin, int64_t size) const;
  void DontNeed(int64_t begin, int64_t size) const;

 private:
  MappedFile(const char* data, size_t size) : data_(data), size_(size) {}
  void Advise(int64_t begin, int64_t size, int advice, bool whole_pages_only) const;

  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tessera
