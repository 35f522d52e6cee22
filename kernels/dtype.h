#pragma once

#include <cstdint>

#include "base/check.h"

namespace tessera {

// Types of numbers in memory that the operations understand.
enum class DType : uint8_t { kF32, kBF16, kF16, kF8E4M3 };

constexpr int64_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
      return 2;
    case DType::kF8E4M3:
      return 1;
  }
  TESSERA_CHECK(false);
}

}  // namespace tessera
