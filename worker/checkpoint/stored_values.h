#pragma once

#include <span>

#include "worker/checkpoint/safetensors_header.h"

namespace tessera {

// Converts values.size() numbers as they lie in a file, at any alignment. False, and nothing done, for formats that are
// no weights: integers, F64, F8_E5M2, and F8_E4M3, which means nothing without its scales.
[[nodiscard]] bool ConvertToF32(StoredDType dtype, const char* data, std::span<float> values);

float F16ToF32(uint16_t bits);

}  // namespace tessera
