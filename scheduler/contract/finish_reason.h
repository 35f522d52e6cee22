#pragma once

#include <cstddef>
#include <string_view>

namespace tessera {

// Why a request ended. Each request ends exactly once.
enum class FinishReason {
  kStop,       // an end-of-sequence token or a stop token id of the request
  kLength,     // max_tokens or the context length is reached
  kCancelled,  // its client cancelled or went away
  kDeadline,   // its deadline passed, queued or running
  kError,      // it failed; the status says why; other requests are not affected
};

inline constexpr size_t kNumFinishReasons = 5;

std::string_view ToString(FinishReason reason);

}  // namespace tessera
