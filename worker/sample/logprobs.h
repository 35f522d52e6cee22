#pragma once

#include <cstdint>
#include <span>

#include "scheduler/contract/token_batch.h"

namespace tessera {

// Whether a row of logits can be sampled from: every number is finite.
bool AllFinite(std::span<const float> logits);

// Log probabilities of a row of raw logits, before penalties, masks, temperature and filters: of `token`, and of the
// `num_top` likeliest among the first `valid_vocab` ids. Requires: AllFinite(logits), logits not empty.
PositionLogprobs LogprobsOf(std::span<const float> logits, int32_t valid_vocab, TokenId token, int32_t num_top);

}  // namespace tessera
