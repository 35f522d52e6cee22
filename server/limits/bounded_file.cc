#include "server/limits/bounded_file.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_format.h"

namespace tessera {

absl::StatusOr<std::string> ReadBoundedFile(const std::string& path, int64_t bytes_max) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return absl::NotFoundError(absl::StrFormat("%s: no such file", path));
  }
  if (error || status.type() != std::filesystem::file_type::regular) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: not a readable file", path));
  }
  const auto size = std::filesystem::file_size(path, error);
  if (error || size > static_cast<uint64_t>(bytes_max)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: has %d bytes, at most %d are accepted", path, size, bytes_max));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(size), '\0');
  file.read(text.data(), static_cast<std::streamsize>(size));
  if (!file || file.gcount() != static_cast<std::streamsize>(size)) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: can't be read", path));
  }
  return text;
}

}  // namespace tessera
