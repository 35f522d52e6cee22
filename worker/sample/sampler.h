#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "scheduler/contract/request.h"
#include "worker/sample/candidate_filter.h"
#include "worker/sample/token_counts.h"

namespace tessera {

// What chooses one token besides the logits.
struct SampleContext {
  const SamplingParams* params = nullptr;
  const TokenCounts* counts = nullptr;  // null when TokenCounts::Needed is false
  std::span<const TokenId> banned;      // never sampled: stop tokens before min_tokens
  int64_t position = 0;                 // of the token to be sampled, counted from the start of the prompt
};

// Chooses the next token of one sequence: penalties and bias, masks, temperature, top-k, top-p, min-p, draw. The choice
// depends on the logits and the context alone, not on what was sampled before or for whom. Holds the work space;
// allocates at construction only. Not thread-safe.
class Sampler {
 public:
  // Ids from valid_vocab on are padding rows of the embedding that no tokenizer knows: never sampled.
  Sampler(int32_t vocab_size, int32_t valid_vocab);

  // Internal if a logit is not finite; InvalidArgument if every token is banned.
  absl::StatusOr<TokenId> Sample(std::span<const float> logits, const SampleContext& context);

  int32_t valid_vocab() const { return valid_vocab_; }

 private:
  // The logits after penalties, bias and masks: the row itself if there are none.
  std::span<const float> Adjust(std::span<const float> logits, const SampleContext& context);
  TokenId Draw(std::span<const float> logits, float max, const SampleContext& context);

  const int32_t vocab_size_;
  const int32_t valid_vocab_;
  std::vector<float> adjusted_;  // [valid_vocab]
  std::vector<float> weights_;   // [valid_vocab]
  std::vector<double> block_sums_;
  CandidateFilter filter_;
};

}  // namespace tessera
