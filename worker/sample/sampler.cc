#include "worker/sample/sampler.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "worker/sample/exp_weights.h"
#include "worker/sample/logprobs.h"
#include "worker/sample/philox.h"

namespace tessera {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Below this a draw is greedy in all but name; it keeps 1 / temperature finite.
constexpr float kTemperatureMin = 1e-30F;

}  // namespace

Sampler::Sampler(int32_t vocab_size, int32_t valid_vocab)
    : vocab_size_(vocab_size),
      valid_vocab_(valid_vocab),
      adjusted_(static_cast<size_t>(valid_vocab)),
      weights_(static_cast<size_t>(valid_vocab)),
      block_sums_((static_cast<size_t>(valid_vocab) + kWeightBlock - 1) / kWeightBlock),
      filter_(valid_vocab) {
  TESSERA_CHECK(valid_vocab > 0 && valid_vocab <= vocab_size);
}

absl::StatusOr<TokenId> Sampler::Sample(std::span<const float> logits, const SampleContext& context) {
  TESSERA_CHECK(logits.size() == static_cast<size_t>(vocab_size_));
  if (!AllFinite(logits)) {
    return absl::InternalError(absl::StrFormat("the logits at position %d are not finite", context.position));
  }
  const std::span<const float> adjusted = Adjust(logits.first(static_cast<size_t>(valid_vocab_)), context);
  const auto best = std::max_element(adjusted.begin(), adjusted.end());  // the first of equals: the lowest id
  if (*best == kMinusInfinity) {
    return absl::InvalidArgumentError(
        absl::StrFormat("position %d: every token is a stop token, and min_tokens forbids them", context.position));
  }
  const SamplingParams& params = *context.params;
  if (params.temperature == 0 || params.top_k == 1) return static_cast<TokenId>(best - adjusted.begin());
  return Draw(adjusted, *best, context);
}

std::span<const float> Sampler::Adjust(std::span<const float> logits, const SampleContext& context) {
  const SamplingParams& params = *context.params;
  if (context.counts == nullptr && params.logit_bias.empty() && context.banned.empty()) return logits;
  std::copy(logits.begin(), logits.end(), adjusted_.begin());
  if (context.counts != nullptr) context.counts->Penalize(params, adjusted_);
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < valid_vocab_) adjusted_[static_cast<size_t>(token)] += bias;
  }
  for (const TokenId token : context.banned) {
    if (token < valid_vocab_) adjusted_[static_cast<size_t>(token)] = kMinusInfinity;
  }
  return adjusted_;
}

TokenId Sampler::Draw(std::span<const float> logits, float max, const SampleContext& context) {
  const SamplingParams& params = *context.params;
  const float inverse_temperature = 1.0F / std::max(params.temperature, kTemperatureMin);
  const double total = ExpWeights(logits, max, inverse_temperature, weights_, block_sums_);
  const double random = UniformAt(params.seed, context.position);
  if (params.top_k == 0 && params.top_p == 1 && params.min_p == 0) {
    return static_cast<TokenId>(FindCumulative(weights_, block_sums_, random * total));
  }
  const std::span<const Candidate> candidates =
      filter_.Run(logits, weights_, max, total, {.top_k = params.top_k, .top_p = params.top_p, .min_p = params.min_p});
  double mass = 0;
  for (const Candidate& candidate : candidates) mass += static_cast<double>(candidate.weight);
  double cumulative = 0;
  for (const Candidate& candidate : candidates) {
    cumulative += static_cast<double>(candidate.weight);
    if (cumulative > random * mass) return candidate.token;
  }
  return candidates.back().token;  // not reached: the last sum is the mass, and the random number is below 1
}

}  // namespace tessera
