#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "scheduler/simulation/draws.h"

namespace tessera {

// How long prompts or answers are, in tokens.
struct LengthDistribution {
  enum class Kind { kFixed, kUniform, kExponential, kLogNormal };

  Kind kind = Kind::kFixed;
  double a = 1;  // the length; the least; the mean; the median
  double b = 0;  // the greatest (uniform); sigma of the logarithm (log-normal)

  int32_t Draw(Draws& draws, int32_t max) const;  // 1 … max
};

// "512", "uniform:100:2000", "exponential:300", "lognormal:400:1.2". A message says what it wanted.
absl::StatusOr<LengthDistribution> ParseLengthDistribution(std::string_view text);

}  // namespace tessera
