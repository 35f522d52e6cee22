#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

// Softmax numerators are summed in blocks of this many, in a fixed order.
inline constexpr size_t kWeightBlock = 256;

// e^x for x ≤ 0, to 2 units in the last place; 0 below −87. Written in plain operations, so that its bits do not depend
// on the C library or on the CPU.
float ExpOfNonPositive(float x);

// weights[i] = e^((logits[i] − max) · inverse_temperature) and block_sums[b] = the sum of block b. Minus infinity
// weighs 0. Requires: max is the largest logit; weights.size() == logits.size(); ⌈size / kWeightBlock⌉ sums. Returns
// the total.
double ExpWeights(std::span<const float> logits, float max, float inverse_temperature, std::span<float> weights,
                  std::span<double> block_sums);

// Σ e^(logits[i] − max): the total of ExpWeights at temperature 1.
double SumOfExp(std::span<const float> logits, float max);

// The smallest index whose cumulative weight exceeds `target`; the last with a weight > 0 if rounding left none.
size_t FindCumulative(std::span<const float> weights, std::span<const double> block_sums, double target);

}  // namespace tessera
