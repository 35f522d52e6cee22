#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace tessera {

// Keeps the order of members, which tool schemas show to the model.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  int depth_max = 64;                   // of nested arrays and objects
  int64_t values_max = 1 << 20;         // of all values, nested ones included
  bool refuses_repeated_names = false;  // of the members of one object; else the last one of a name counts
};

// Parses hostile text: no recursion, bounded depth and memory, strict UTF-8. An error says what is wrong and at which
// byte, not of which document: the caller knows its name.
absl::StatusOr<Json> ParseJson(std::string_view text, const JsonLimits& limits = {});

}  // namespace tessera
