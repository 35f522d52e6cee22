#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/rope.h"

namespace tessera::reference {

// Rotates `values` [2 · frequencies] in place by a position.
inline void Rotate(const RopeFrequencies& frequencies, int32_t position, float* values) {
  const size_t num_pairs = frequencies.inverse_frequency.size();
  for (size_t i = 0; i < num_pairs; ++i) {
    const float angle = static_cast<float>(position) * frequencies.inverse_frequency[i];
    const float cosine = std::cos(angle) * frequencies.cos_sin_factor;
    const float sine = std::sin(angle) * frequencies.cos_sin_factor;
    float& first = values[frequencies.interleaved ? 2 * i : i];
    float& second = values[frequencies.interleaved ? 2 * i + 1 : i + num_pairs];
    const float a = first;
    const float b = second;
    first = a * cosine - b * sine;
    second = a * sine + b * cosine;
  }
}

}  // namespace tessera::reference
