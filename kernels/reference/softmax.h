#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace tessera::reference {

// Replaces scores by exp(score − max) / Σ.
inline void Softmax(std::vector<float>& scores) {
  float max = scores[0];
  for (const float score : scores) max = std::max(max, score);
  float sum = 0;
  for (float& score : scores) {
    score = std::exp(score - max);
    sum += score;
  }
  for (float& score : scores) score /= sum;
}

}  // namespace tessera::reference
