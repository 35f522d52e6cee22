#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace tessera {

// What a rank that has room for a request would have on hand with it, and how much of its prompt it knows.
struct RankOffer {
  int64_t load = 0;         // tokens in its cache and tokens of prompts still to run, the request's included
  int32_t num_running = 0;  // the request not included
  int64_t num_cached_tokens = 0;
  int64_t num_cached_tokens_soon = 0;  // once the step being planned has run
};

// The rank on which a request starts: the one that knows most of its prompt, then the one that has least on hand, then
// the first. All ranks step together, so the fullest one sets the pace: a rank is passed over when it would have more
// on hand than the emptiest by more tokens than it saves or than an eighth of `cache_tokens`, or when it runs more than
// four sequences beyond twice as many as another. A prefix that everybody asks for spreads to all ranks in this way.
// `offers` are by rank; nothing when none has room.
std::optional<size_t> ChooseRank(std::span<const std::optional<RankOffer>> offers, int64_t cache_tokens);

}  // namespace tessera
