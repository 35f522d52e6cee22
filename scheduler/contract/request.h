#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"

namespace tessera {

// How the next token is chosen from the logits. Order: penalties and bias, temperature, top-k, top-p, min-p, draw.
struct SamplingParams {
  float temperature = 1;         // 0: the largest logit (lowest id on ties); else 0 < t ≤ 100
  int32_t top_k = 0;             // 0: no limit; else ≥ 1
  float top_p = 1;               // 0 < p ≤ 1
  float min_p = 0;               // 0 ≤ p < 1; drops tokens less likely than min_p · the likeliest
  float repetition_penalty = 1;  // > 0; over prompt and generated tokens: divides positive, multiplies negative logits
  float frequency_penalty = 0;   // −2 … 2; times the count among generated tokens, subtracted
  float presence_penalty = 0;    // −2 … 2; subtracted once for each generated token
  uint64_t seed = 0;             // keys the counter-based generator together with the position; never absent here
  std::vector<std::pair<TokenId, float>> logit_bias;  // −100 … 100 added to the logit; ids unique
  int32_t num_logprobs = -1;         // −1: none; 0: of the sampled token; n: also of the n likeliest, at most 20
  int32_t num_prompt_logprobs = -1;  // the same for each prompt token but the first
};

// The largest num_logprobs and num_prompt_logprobs.
inline constexpr int32_t kMaxLogprobs = 20;
// The largest number of logit_bias entries and of stop tokens of one request.
inline constexpr int32_t kMaxLogitBias = 1024;
inline constexpr int32_t kMaxStopTokens = 1024;

// One generation: token ids in, token ids out. `n` choices are n requests.
struct Request {
  RequestId id;
  std::vector<TokenId> prompt;  // ≥ 1
  std::vector<TokenId>
      generated;  // tokens it already has, when it is resubmitted after a failure; counted by max_tokens
  SamplingParams sampling;
  int32_t max_tokens = 0;            // ≥ 1; of generated tokens, those in `generated` included
  int32_t min_tokens = 0;            // 0 … max_tokens; no stop token is sampled before
  std::vector<TokenId> stop_tokens;  // end-of-sequence tokens included, unless they are to be ignored
  int32_t priority = 0;              // lower runs earlier
  uint64_t client = 0;               // names the API key or user among whom capacity is shared fairly; 0: none
  absl::Time deadline = absl::InfiniteFuture();
  absl::Time arrival = absl::InfinitePast();
};

// Checks every range; ids against the model's vocabulary. A message names the field, what it got and what it wanted.
absl::Status Validate(const SamplingParams& sampling, int32_t vocab_size);

// Checks every field's range against the model's vocabulary; a message names the field, what it got and what it wanted.
// Context length and cache space are the scheduler's to check.
absl::Status Validate(const Request& request, int32_t vocab_size);

}  // namespace tessera
