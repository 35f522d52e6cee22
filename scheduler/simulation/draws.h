#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace tessera {

// Random numbers of a seed. Not std's distributions, whose draws differ between libraries: a trace is to be the same
// everywhere.
class Draws {
 public:
  explicit Draws(uint64_t seed) : state_(Mix(seed)) {}

  static uint64_t Mix(uint64_t x) {  // splitmix64 (Steele, Lea, Flood 2014)
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }

  // In [0, 1); a function of its arguments.
  static double UniformAt(uint64_t seed, int64_t index) {
    return ToUniform(Mix(seed ^ Mix(static_cast<uint64_t>(index))));
  }

  uint64_t Bits() { return Mix(state_ += 0x9e3779b97f4a7c15ULL); }
  double Uniform() { return ToUniform(Bits()); }
  int64_t Below(int64_t n) { return static_cast<int64_t>(Bits() % static_cast<uint64_t>(n)); }
  double Exponential(double mean) { return -mean * std::log1p(-Uniform()); }
  double Normal() {  // Box and Muller 1958; the second value is not kept
    const double radius = std::sqrt(Exponential(2));
    return radius * std::cos(2 * std::numbers::pi * Uniform());
  }

 private:
  static double ToUniform(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

  uint64_t state_;
};

}  // namespace tessera
