#include "worker/checkpoint/stored_values.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace tessera {
namespace {

template <typename Stored, typename Convert>
void ConvertAll(const char* data, std::span<float> values, const Convert& convert) {
  for (size_t i = 0; i < values.size(); ++i) {
    Stored stored = 0;
    std::memcpy(&stored, data + i * sizeof(Stored), sizeof(Stored));
    values[i] = convert(stored);
  }
}

// An exponent alone: 2^(byte − 127); 255 is NaN.
float E8M0ToF32(uint8_t byte) {
  if (byte == 255) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0F, byte - 127);
}

}  // namespace

float F16ToF32(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  float magnitude = 0;
  if (exponent == 31) {
    magnitude = mantissa == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

bool ConvertToF32(StoredDType dtype, const char* data, std::span<float> values) {
  switch (dtype) {
    case StoredDType::kF32:
      std::memcpy(values.data(), data, values.size_bytes());
      return true;
    case StoredDType::kBF16:
      ConvertAll<uint16_t>(data, values, [](uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); });
      return true;
    case StoredDType::kF16:
      ConvertAll<uint16_t>(data, values, F16ToF32);
      return true;
    case StoredDType::kF8E8M0:
      ConvertAll<uint8_t>(data, values, E8M0ToF32);
      return true;
    default:
      return false;
  }
}

}  // namespace tessera
