#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "scheduler/contract/request.h"
#include "scheduler/contract/token_batch.h"
#include "server/groups/router_group.h"

namespace tessera {

// A request from its acceptance by the router to its end: all that is needed to go on in another group.
struct RoutedRequest {
  Request request;             // as submitted; `generated` grows with each token that came
  std::vector<uint64_t> keys;  // of the prompt's blocks
  bool is_cancelled = false;

  // The attempt under way.
  RouterGroup* group = nullptr;  // null: it waits for one
  RequestId attempt;             // its id there
  int64_t num_prompt_logprobs_seen = 0;

  // Of all attempts.
  int64_t num_prompt_logprobs_delivered = 0;
  int32_t num_moves = 0;
  int32_t num_moves_without_token = 0;  // in a row
  bool is_accepted = false;             // a group has had it: it is not refused for want of room any more

  // While it waits.
  std::vector<int64_t> refused_by;  // numbers of the groups that had no room when last asked
  absl::Status last_error;
  absl::Time waits_since = absl::InfinitePast();
  absl::Time next_try = absl::InfinitePast();
};

// Takes over what an attempt brought: keeps its tokens, and drops from `tokens` what was delivered before.
void Deliver(RoutedRequest& routed, RequestTokens& tokens);

}  // namespace tessera
