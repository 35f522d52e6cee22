#include "worker/exchange/wire_rows.h"

#include <cstring>

#include "base/check.h"
#include "kernels/bfloat16.h"

namespace tessera {

void WriteRow(const float* row, int64_t count, DType wire_type, std::byte* wire) {
  if (wire_type == DType::kF32) {
    std::memcpy(wire, row, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  TESSERA_DCHECK(wire_type == DType::kBF16);
  for (int64_t i = 0; i < count; ++i) {
    const BFloat16 value(row[i]);
    std::memcpy(wire + 2 * i, &value.bits, sizeof(value.bits));
  }
}

void ReadRow(const std::byte* wire, int64_t count, DType wire_type, float* row) {
  if (wire_type == DType::kF32) {
    std::memcpy(row, wire, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  TESSERA_DCHECK(wire_type == DType::kBF16);
  for (int64_t i = 0; i < count; ++i) {
    BFloat16 value;
    std::memcpy(&value.bits, wire + 2 * i, sizeof(value.bits));
    row[i] = static_cast<float>(value);
  }
}

}  // namespace tessera
