#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "scheduler/contract/engine_port.h"

namespace tessera {

// A group that could take a request.
struct GroupOffer {
  double load = 0;               // LoadOf its status
  int64_t num_tokens_found = 0;  // of the prompt, probably in its cache
  int64_t last_chosen = 0;       // a number that grows with each choice
};

// A running request is as much work to come as so many prompt tokens: some hundred steps of a full batch, each of which
// costs about what a few prompt tokens do.
inline constexpr double kRunningRequestTokens = 256;
// A group whose load is more than kLoadRatioMax times the least, and by more than kLoadSlack, gets nothing, whatever it
// has in its cache.
inline constexpr double kLoadRatioMax = 2;
inline constexpr double kLoadSlack = 8192;

// Work that waits or runs on one rank of the group, in tokens. From the group's own status, so all servers see the
// same.
double LoadOf(const EngineStatus& status, int32_t num_ranks);

// The group that has the least to do until it has computed the prompt: its load, and the tokens of the prompt that are
// not in its cache. So a prefix draws requests as long as it saves more than the group's queue costs. Among equals the
// one chosen longest ago. Requires: offers is not empty.
size_t ChooseGroup(std::span<const GroupOffer> offers, int64_t num_prompt_tokens);

}  // namespace tessera
