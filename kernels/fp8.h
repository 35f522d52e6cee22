#pragma once

#include <array>
#include <cstdint>
#include <limits>

namespace tessera {

// E4M3 "fn": 1 sign, 4 exponent (bias 7), 3 mantissa bits; largest ±448 (0x7E); 0x7F and 0xFF are NaN; no infinities.
constexpr float DecodeE4M3(uint8_t byte) {
  const int exponent = (byte >> 3) & 15;
  const int mantissa = byte & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  float value = exponent == 0 ? static_cast<float>(mantissa) / 512.0F : 1.0F + static_cast<float>(mantissa) / 8.0F;
  for (int i = 7; i < exponent; ++i) value *= 2.0F;
  for (int i = exponent; exponent != 0 && i < 7; ++i) value *= 0.5F;
  return (byte & 0x80) != 0 ? -value : value;
}

inline constexpr std::array<float, 256> kE4M3Values = [] {
  std::array<float, 256> values{};
  for (int i = 0; i < 256; ++i) values[static_cast<size_t>(i)] = DecodeE4M3(static_cast<uint8_t>(i));
  return values;
}();

}  // namespace tessera
