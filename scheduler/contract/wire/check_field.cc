#include "scheduler/contract/wire/check_field.h"

#include "absl/strings/str_format.h"

namespace tessera::wire {

absl::Status CheckRange(std::string_view field, int64_t got, int64_t min, int64_t max) {
  if (got >= min && got <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("%s: got %d, wanted %d to %d", field, got, min, max));
}

absl::Status Within(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrFormat("%s%s", path, status.message()));
}

}  // namespace tessera::wire
