#pragma once

#include <array>
#include <cstdint>

namespace tessera {

// Philox4x32-10, a counter-based random generator: the number is a function of (key, counter) alone, with no state to
// keep or move. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
constexpr std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr uint64_t kMultiplier0 = 0xD251'1F53;
  constexpr uint64_t kMultiplier1 = 0xCD9E'8D57;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E37'79B9;
    key[1] += 0xBB67'AE85;
  }
  return counter;
}

// The random number of a sequence's token at `position` (counted from the start of the prompt): 0 ≤ u < 1, 53 bits.
constexpr double UniformAt(uint64_t seed, int64_t position) {
  const auto place = static_cast<uint64_t>(position);
  const std::array<uint32_t, 4> words =
      Philox4x32({static_cast<uint32_t>(place), static_cast<uint32_t>(place >> 32), 0, 0},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t bits = (uint64_t{words[0] >> 5} << 26) | (words[1] >> 6);
  return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace tessera
