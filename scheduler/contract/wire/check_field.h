#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace tessera::wire {

// OK, or InvalidArgument that names the field, what it got and what it wanted.
absl::Status CheckRange(std::string_view field, int64_t got, int64_t min, int64_t max);

// Each of `ids` from 0 to `max`; the error names the first that is not, by its index.
template <typename Ids>
absl::Status CheckIds(std::string_view field, const Ids& ids, int64_t max);

// The error of a part, its field named with the path to it: "added[2].sampling." + "top_k: got …".
absl::Status Within(const std::string& path, const absl::Status& status);

template <typename Ids>
absl::Status CheckIds(std::string_view field, const Ids& ids, int64_t max) {
  for (int64_t i = 0; i < static_cast<int64_t>(ids.size()); ++i) {
    const int64_t id = ids[static_cast<int>(i)];
    if (id < 0 || id > max) return CheckRange(std::string(field) + "[" + std::to_string(i) + "]", id, 0, max);
  }
  return absl::OkStatus();
}

}  // namespace tessera::wire
