#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace tessera {

// Bytes that this process may still take: what the system has free, or less if its control group allows less.
absl::StatusOr<int64_t> AvailableMemory();

}  // namespace tessera
