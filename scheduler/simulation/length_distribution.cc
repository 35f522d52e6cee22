#include "scheduler/simulation/length_distribution.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace tessera {
namespace {

constexpr double kTokensMax = 1e9;

bool ReadNumber(const std::string& text, double min, double max, double& value) {
  return absl::SimpleAtod(text, &value) && value >= min && value <= max;
}

}  // namespace

int32_t LengthDistribution::Draw(Draws& draws, int32_t max) const {
  double length = a;
  switch (kind) {
    case Kind::kFixed:
      break;
    case Kind::kUniform:
      length = a + std::floor(draws.Uniform() * (b - a + 1));
      break;
    case Kind::kExponential:
      length = draws.Exponential(a);
      break;
    case Kind::kLogNormal:
      length = a * std::exp(b * draws.Normal());
      break;
  }
  return static_cast<int32_t>(std::clamp(std::round(length), 1.0, static_cast<double>(max)));
}

absl::StatusOr<LengthDistribution> ParseLengthDistribution(std::string_view text) {
  using Kind = LengthDistribution::Kind;
  const std::vector<std::string> parts = absl::StrSplit(std::string(text), ':');
  LengthDistribution parsed;
  bool is_right = false;
  if (parts.size() == 1) {
    is_right = ReadNumber(parts[0], 1, kTokensMax, parsed.a);
  } else if (parts.size() == 2 && parts[0] == "exponential") {
    parsed.kind = Kind::kExponential;
    is_right = ReadNumber(parts[1], 1, kTokensMax, parsed.a);
  } else if (parts.size() == 3 && parts[0] == "uniform") {
    parsed.kind = Kind::kUniform;
    is_right = ReadNumber(parts[1], 1, kTokensMax, parsed.a) && ReadNumber(parts[2], parsed.a, kTokensMax, parsed.b);
  } else if (parts.size() == 3 && parts[0] == "lognormal") {
    parsed.kind = Kind::kLogNormal;
    is_right = ReadNumber(parts[1], 1, kTokensMax, parsed.a) && ReadNumber(parts[2], 0, 10, parsed.b);
  }
  if (is_right) return parsed;
  return absl::InvalidArgumentError(absl::StrFormat(
      "length '%s': wanted N, uniform:MIN:MAX, exponential:MEAN or lognormal:MEDIAN:SIGMA, in tokens from 1 on", text));
}

}  // namespace tessera
