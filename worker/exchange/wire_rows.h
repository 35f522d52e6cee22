#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"

namespace tessera {

// One row of numbers to and from the form in which it travels (kF32 or kBF16). `wire` need not be aligned.
void WriteRow(const float* row, int64_t count, DType wire_type, std::byte* wire);
void ReadRow(const std::byte* wire, int64_t count, DType wire_type, float* row);

}  // namespace tessera
