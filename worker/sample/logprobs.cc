#include "worker/sample/logprobs.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "worker/sample/exp_weights.h"

namespace tessera {
namespace {

// The `count` largest logits as (token, logit), likeliest first, lowest id first on ties.
std::vector<TokenLogprob> LargestOf(std::span<const float> logits, size_t count) {
  std::vector<TokenLogprob> largest;
  count = std::min(count, logits.size());
  if (count == 0) return largest;
  largest.reserve(count + 1);
  for (size_t id = 0; id < logits.size(); ++id) {
    if (largest.size() == count && !(logits[id] > largest.back().logprob)) continue;
    const auto place = std::upper_bound(largest.begin(), largest.end(), logits[id],
                                        [](float logit, const TokenLogprob& entry) { return logit > entry.logprob; });
    largest.insert(place, {.token = static_cast<TokenId>(id), .logprob = logits[id]});
    if (largest.size() > count) largest.pop_back();
  }
  return largest;
}

}  // namespace

bool AllFinite(std::span<const float> logits) {
  constexpr uint32_t kExponent = 0x7F80'0000;
  uint32_t bad = 0;
  for (const float logit : logits) bad |= (std::bit_cast<uint32_t>(logit) & kExponent) == kExponent ? 1U : 0U;
  return bad == 0;
}

PositionLogprobs LogprobsOf(std::span<const float> logits, int32_t valid_vocab, TokenId token, int32_t num_top) {
  const float max = *std::max_element(logits.begin(), logits.end());
  const double log_sum = std::log(SumOfExp(logits, max)) + static_cast<double>(max);
  const auto logprob_of = [&](float logit) {
    const double logprob = std::min(static_cast<double>(logit) - log_sum, 0.0);
    return std::max(static_cast<float>(logprob), kLogprobFloor);
  };
  PositionLogprobs result{.token = {.token = token, .logprob = logprob_of(logits[static_cast<size_t>(token)])}};
  result.top = LargestOf(logits.first(static_cast<size_t>(valid_vocab)), static_cast<size_t>(std::max(num_top, 0)));
  for (TokenLogprob& entry : result.top) entry.logprob = logprob_of(entry.logprob);
  return result;
}

}  // namespace tessera
