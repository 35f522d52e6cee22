#include "worker/sample/exp_weights.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"

namespace tessera {
namespace {

constexpr float kLowest = -87;  // e^x is a normal float down to here
constexpr size_t kLanes = 8;    // partial sums; fixed, whatever the CPU's width

// e^x = 2^n · e^r with n = round(x / ln 2), |r| ≤ ln 2 / 2, and a polynomial for e^r. ln 2 comes in two parts (Cody and
// Waite), so that r is exact.
inline float Exp(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kRounder = 0x1.8p23F;  // adding it leaves the nearest integer in the low bits
  const float clamped = x < kLowest ? kLowest : x;
  const float shifted = clamped * kLog2E + kRounder;
  const float n = shifted - kRounder;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;
  float poly = 1.9875691500e-4F;
  poly = poly * r + 1.3981999507e-3F;
  poly = poly * r + 8.3334519073e-3F;
  poly = poly * r + 4.1665795894e-2F;
  poly = poly * r + 1.6666665459e-1F;
  poly = poly * r + 5.0000001201e-1F;
  poly = poly * (r * r) + r + 1.0F;
  const auto exponent = static_cast<uint32_t>(std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRounder) + 127);
  const float result = poly * std::bit_cast<float>(exponent << 23);
  return x < kLowest ? 0.0F : result;
}

using Block = std::array<float, kWeightBlock>;

// The weights of one block, zeros past its end, and their sum.
double WeighBlock(std::span<const float> logits, float max, float inverse_temperature, Block& weights) {
  weights.fill(0);
  for (size_t i = 0; i < logits.size(); ++i) weights[i] = Exp((logits[i] - max) * inverse_temperature);
  std::array<float, kLanes> lanes{};
  for (size_t i = 0; i < kWeightBlock; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += weights[i + lane];
  }
  double sum = 0;
  for (const float lane : lanes) sum += static_cast<double>(lane);
  return sum;
}

}  // namespace

float ExpOfNonPositive(float x) { return Exp(x); }

double ExpWeights(std::span<const float> logits, float max, float inverse_temperature, std::span<float> weights,
                  std::span<double> block_sums) {
  TESSERA_CHECK(weights.size() == logits.size());
  TESSERA_CHECK(block_sums.size() == (logits.size() + kWeightBlock - 1) / kWeightBlock);
  double total = 0;
  Block terms;
  for (size_t block = 0; block < block_sums.size(); ++block) {
    const size_t begin = block * kWeightBlock;
    const size_t count = std::min(kWeightBlock, logits.size() - begin);
    block_sums[block] = WeighBlock(logits.subspan(begin, count), max, inverse_temperature, terms);
    std::copy_n(terms.begin(), count, weights.begin() + static_cast<std::ptrdiff_t>(begin));
    total += block_sums[block];
  }
  return total;
}

double SumOfExp(std::span<const float> logits, float max) {
  double total = 0;
  Block terms;
  for (size_t begin = 0; begin < logits.size(); begin += kWeightBlock) {
    total += WeighBlock(logits.subspan(begin, std::min(kWeightBlock, logits.size() - begin)), max, 1, terms);
  }
  return total;
}

size_t FindCumulative(std::span<const float> weights, std::span<const double> block_sums, double target) {
  double before = 0;
  size_t block = 0;
  while (block + 1 < block_sums.size() && before + block_sums[block] <= target) before += block_sums[block++];
  const size_t end = std::min(weights.size(), (block + 1) * kWeightBlock);
  for (size_t i = block * kWeightBlock; i < end; ++i) {
    before += static_cast<double>(weights[i]);
    if (before > target) return i;
  }
  size_t last = end;  // rounding: the block's own sum was a little larger than the walk through it
  while (last > 0 && !(weights[last - 1] > 0)) --last;
  TESSERA_CHECK(last > 0);
  return last - 1;
}

}  // namespace tessera
