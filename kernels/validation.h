#pragma once

// What the Validate functions share: each returns OK or InvalidArgument "operation: what: got …, wanted …".

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "kernels/tensor.h"

namespace tessera {

inline absl::Status Refuse(std::string_view operation, std::string_view what, std::string_view got,
                           std::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrFormat("%s: %s: got %s, wanted %s", operation, what, got, wanted));
}

inline absl::Status ExpectEqual(std::string_view operation, std::string_view what, int64_t got, int64_t wanted) {
  if (got == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("%s: %s: got %d, wanted %d", operation, what, got, wanted));
}

inline absl::Status ExpectInRange(std::string_view operation, std::string_view what, int64_t got, int64_t least,
                                  int64_t most) {
  if (got >= least && got <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: %s: got %d, wanted %d to %d", operation, what, got, least, most));
}

inline absl::Status ExpectPresent(std::string_view operation, std::string_view what, bool present) {
  return present ? absl::OkStatus() : Refuse(operation, what, "null", "an object");
}

// A tensor with numbers has memory.
template <typename T, int Rank>
absl::Status ExpectMemory(std::string_view operation, std::string_view what, const Tensor<T, Rank>& tensor) {
  return ExpectPresent(operation, what, tensor.size() == 0 || tensor.data() != nullptr);
}

}  // namespace tessera
