#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace tessera {

// The text of a file, refused when it is larger than bytes_max. NotFound only if there is no such file.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, int64_t bytes_max);

struct HeaderJsonLimits {
  int64_t bytes_max = 1 << 20;
  int depth_max = 32;
};

// Parses a JSON text of unknown origin: bounded size and nesting, no key twice in one object, no NaN or Infinity (which
// Python writes and JSON lacks; the error names the field). `file` begins each error. The result is an object.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, std::string_view file,
                                               const HeaderJsonLimits& limits);

}  // namespace tessera
