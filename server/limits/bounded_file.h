#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace tessera {

// The file's bytes; NotFound if there is none, InvalidArgument if it is not a regular file or larger than `bytes_max`.
absl::StatusOr<std::string> ReadBoundedFile(const std::string& path, int64_t bytes_max);

}  // namespace tessera
