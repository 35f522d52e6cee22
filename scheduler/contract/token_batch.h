#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "scheduler/contract/finish_reason.h"

namespace tessera {

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;  // natural log of the probability before temperature and filters; finite (kLogprobFloor at least)
};

// Log probabilities are never below this, so that every JSON writer can print them.
inline constexpr float kLogprobFloor = -9999;

// Log probabilities at one position.
struct PositionLogprobs {
  TokenLogprob token;             // the token that stands at the position
  std::vector<TokenLogprob> top;  // the likeliest ones, likeliest first, lowest id first on ties
};

// What one step brought to one request.
struct RequestTokens {
  RequestId request;
  std::vector<TokenId> tokens;                    // new generated tokens in order; a stop token is among them
  std::vector<PositionLogprobs> logprobs;         // one per token, or empty when not asked for
  std::vector<PositionLogprobs> prompt_logprobs;  // of the next prompt positions in order, starting at the second
  int32_t num_cached_tokens = 0;                  // prompt tokens found in the prefix cache, with the first tokens
  absl::Time started =
      absl::InfinitePast();            // when its first step was planned (queue time's end), with the first tokens
  std::optional<FinishReason> finish;  // set exactly once, in the last message of a request
  absl::Status status;                 // not OK exactly when finish is kError
};

// All that one step brought, to all requests of one server: one message a step.
struct TokenBatch {
  std::vector<RequestTokens> requests;
};

}  // namespace tessera
