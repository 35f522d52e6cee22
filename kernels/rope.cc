#include "kernels/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {
namespace {

double Mscale(double factor, double a) { return factor <= 1 ? 1.0 : 0.1 * a * std::log(factor) + 1.0; }

// The dimension that turns `rotations` times within the original context.
double CorrectionDim(double rotations, int dim, double theta, double context) {
  return dim * std::log(context / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
}

float CosSinFactor(const YarnParams& yarn) {
  if (yarn.attention_factor != 0) return static_cast<float>(yarn.attention_factor);
  if (yarn.mscale == 0 || yarn.mscale_all_dim == 0) return static_cast<float>(Mscale(yarn.factor, 1));
  return static_cast<float>(Mscale(yarn.factor, yarn.mscale) / Mscale(yarn.factor, yarn.mscale_all_dim));
}

}  // namespace

// Follows the reference implementation's steps and types, so that the frequencies agree to the last bit: at position
// 100,000 one unit in the last place is an angle of 0.006.
RopeFrequencies MakeRopeFrequencies(int dim, double theta, bool interleaved, const YarnParams* yarn) {
  TESSERA_CHECK(dim > 0 && dim % 2 == 0 && theta > 1);
  RopeFrequencies result{.interleaved = interleaved};
  double low = 0;
  double high = 0;
  if (yarn != nullptr) {
    const double context = yarn->original_max_position_embeddings;
    low = std::max(std::floor(CorrectionDim(yarn->beta_fast, dim, theta, context)), 0.0);
    high = std::min(std::ceil(CorrectionDim(yarn->beta_slow, dim, theta, context)), dim - 1.0);
    if (low == high) high += 0.001;
    result.cos_sin_factor = CosSinFactor(*yarn);
  }
  for (int i = 0; i < dim / 2; ++i) {
    const float power = std::pow(static_cast<float>(theta), static_cast<float>(2 * i) / static_cast<float>(dim));
    const float plain = 1.0F / power;
    if (yarn == nullptr) {
      result.inverse_frequency.push_back(plain);
      continue;
    }
    const float interpolated = 1.0F / (static_cast<float>(yarn->factor) * power);
    const float ramp = (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float keep = 1.0F - std::clamp(ramp, 0.0F, 1.0F);
    result.inverse_frequency.push_back(interpolated * (1.0F - keep) + plain * keep);
  }
  return result;
}

float AttentionScale(int qk_head_dim, const YarnParams* yarn) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(qk_head_dim));
  if (yarn == nullptr || yarn->mscale_all_dim == 0) return static_cast<float>(scale);
  const double mscale = Mscale(yarn->factor, yarn->mscale_all_dim);
  return static_cast<float>(scale * mscale * mscale);
}

absl::Status Validate(const RopeArgs& args) {
  constexpr char kOperation[] = "Rope";
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "query", args.query));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "positions", args.positions));
  TESSERA_RETURN_IF_ERROR(ExpectPresent(kOperation, "frequencies", args.frequencies != nullptr));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "positions size", args.positions.dim(0), args.query.dim(0)));
  TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "query columns", args.query.dim(2),
                                        2 * static_cast<int64_t>(args.frequencies->inverse_frequency.size()),
                                        INT32_MAX));
  for (int64_t t = 0; t < args.positions.dim(0); ++t) {
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "position", *args.positions.row(t), 0, INT32_MAX));
  }
  return absl::OkStatus();
}

}  // namespace tessera
