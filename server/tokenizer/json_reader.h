#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace tessera {

// The file's bytes; NotFound if there is none, InvalidArgument if it is not a regular file or larger than `bytes_max`.
absl::StatusOr<std::string> ReadFileLimited(const std::string& path, int64_t bytes_max);

// Parses JSON that nobody vouches for: no recursion, nesting at most `depth_max`, a key only once per object, strict
// UTF-8. Errors say where.
absl::StatusOr<nlohmann::json> ParseJsonLimited(std::string_view text, int depth_max);

}  // namespace tessera
