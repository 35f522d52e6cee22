#include "worker/sample/token_counts.h"

#include <algorithm>

namespace tessera {
namespace {

constexpr float kLogitMax = 1e30F;

}  // namespace

bool TokenCounts::Needed(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.frequency_penalty != 0 || params.presence_penalty != 0;
}

void TokenCounts::AddPrompt(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) generated_.try_emplace(token, 0);
}

void TokenCounts::AddGenerated(TokenId token) { ++generated_[token]; }

void TokenCounts::Penalize(const SamplingParams& params, std::span<float> logits) const {
  for (const auto& [token, count] : generated_) {  // each token on its own, so the map's order does not show
    if (static_cast<size_t>(token) >= logits.size()) continue;  // a padding row of the embedding: never sampled
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    logit = std::clamp(logit, -kLogitMax, kLogitMax);  // a tiny penalty divides beyond the range of floats
    if (count == 0) continue;
    logit -= params.frequency_penalty * static_cast<float>(count) + params.presence_penalty;
  }
}

}  // namespace tessera
