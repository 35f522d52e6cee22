#pragma once

#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "kernels/matrix.h"

namespace tessera {

// Refuses a weight that holds NaN or an infinity, or an FP8 scale that is not a positive finite number, naming the
// place. For use while weights are packed, when they are read anyway; it needs about as long as reading the memory.
absl::Status CheckFinite(const MatrixView& matrix, std::string_view name);
absl::Status CheckFinite(std::span<const float> values, std::string_view name);

}  // namespace tessera
