#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "base/ids.h"
#include "scheduler/cache/prefix_cache.h"
#include "scheduler/contract/request.h"
#include "scheduler/queue/precedence.h"

namespace tessera {

// A request from its acceptance to its end. The engine loop owns it; the planner moves it between its states.
struct OpenRequest {
  enum class State {
    kWaiting,
    kRunning,
    kPreempted,  // stopped; it waits again when the results of its last slices have come, for they bring tokens
  };

  // What every step reads of a running request, together.
  State state = State::kWaiting;
  int32_t rank = -1;          // while running
  SequenceId sequence;        // of its current or last run
  int64_t num_known = 0;      // prompt and generated tokens when the run began
  int64_t num_planned = 0;    // positions that this run's slices compute at least, those under way included
  int64_t num_positions = 0;  // that it computes at most: of all tokens but the last
  int64_t last_step = 0;      // the last that has a slice of it
  std::array<int32_t, 2> drafts_under_way{};  // that slices under way may verify, by step modulo 2
  int32_t num_drafts = 0;                     // that the worker may hold for the next slice
  int32_t num_blocks_to_share = 0;            // of this run's prompt, once they are computed; those known included
  PrefixPosition shared;                      // how far they are known
  std::vector<BlockId> block_table;

  Precedence precedence;
  Request request;                   // `generated` grows with each delivered token
  std::vector<BlockKey> block_keys;  // of the prompt's full blocks; empty until it is the first that waits
  bool was_held_back = false;        // a step, for what that step computed of its prompt
  int32_t num_preemptions = 0;
  int32_t num_cached_tokens = 0;   // prompt tokens found in the prefix cache by the first run
  int64_t num_queued_tokens = 0;   // what it adds to the inbox's count of waiting tokens while it waits
  int64_t num_prompt_counted = 0;  // prompt tokens that the status has counted as computed or found
  int64_t num_prompt_logprobs_delivered = 0;
  int64_t num_prompt_logprobs_seen = 0;       // in this run, delivered before or not
  absl::Time started = absl::InfinitePast();  // its first step was planned

  // Positions that this run's slices compute at most: when each draft under way is accepted.
  int64_t num_planned_max() const {
    return std::min(num_positions, num_planned + drafts_under_way[0] + drafts_under_way[1]);
  }
  int32_t& drafts_of_step(int64_t step) { return drafts_under_way[static_cast<size_t>(step % 2)]; }
  int32_t drafts_of_step(int64_t step) const { return drafts_under_way[static_cast<size_t>(step % 2)]; }

  bool wants_prompt_logprobs() const {
    return request.sampling.num_prompt_logprobs >= 0 &&
           num_prompt_logprobs_delivered < static_cast<int64_t>(request.prompt.size()) - 1;
  }
  PrefixQuery prefix_query() const { return {request.prompt, block_keys}; }
};

}  // namespace tessera
