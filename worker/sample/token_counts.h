#pragma once

#include <span>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"
#include "scheduler/contract/request.h"

namespace tessera {

// The tokens that a sequence contains and how often each was generated: what penalties need.
class TokenCounts {
 public:
  // Whether a request's penalties change anything; without, no counts need be kept.
  static bool Needed(const SamplingParams& params);

  void AddPrompt(std::span<const TokenId> tokens);
  void AddGenerated(TokenId token);

  // Applies the repetition, frequency and presence penalties of `params` in place. Ids past the row are passed over.
  void Penalize(const SamplingParams& params, std::span<float> logits) const;

 private:
  absl::flat_hash_map<TokenId, int32_t> generated_;  // of each token present; 0: in the prompt only
};

}  // namespace tessera
