#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace tessera {

// Keeps the order of members, which tool schemas show to the model.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  int depth_max = 64;            // of nested arrays and objects
  int64_t values_max = 1 << 20;  // of all values, nested ones included
};

// Parses hostile text: no recursion, bounded depth and memory. Of members with the same name the last one counts. An
// error says at which byte.
absl::StatusOr<Json> ParseJson(std::string_view text, const JsonLimits& limits = {});

}  // namespace tessera
