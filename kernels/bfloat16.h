#pragma once

#include <bit>
#include <cstdint>

namespace tessera {

// The upper half of an IEEE float. Conversion from float rounds to nearest even; NaN stays NaN.
struct BFloat16 {
  uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) {
    const auto word = std::bit_cast<uint32_t>(value);
    const bool is_nan = (word & 0x7FFF'FFFFU) > 0x7F80'0000U;
    bits = is_nan ? static_cast<uint16_t>((word >> 16) | 0x40U)
                  : static_cast<uint16_t>((word + 0x7FFFU + ((word >> 16) & 1U)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};
static_assert(sizeof(BFloat16) == 2);

// The nearest BF16 value, as a float.
inline float RoundToBFloat16(float value) { return static_cast<float>(BFloat16(value)); }

}  // namespace tessera
