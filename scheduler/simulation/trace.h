#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace tessera {

// One request as a client made it.
struct TraceRequest {
  absl::Duration arrival;     // since the trace began
  int32_t prompt_tokens = 0;  // ≥ 1
  int32_t output_tokens = 0;  // ≥ 1: the answer's length, its end token included
  int32_t max_tokens = 0;     // that the client allows; ≥ output_tokens
  int64_t prefix = -1;        // requests with the same number share their first tokens; −1: with nobody
  int32_t prefix_tokens = 0;  // how many: 0 … prompt_tokens
  int32_t client = 0;         // index into Trace::clients
  int32_t priority = 0;       // lower runs earlier
  absl::Duration cancel_after = absl::InfiniteDuration();  // since the arrival: its client goes away
};

struct Trace {
  std::vector<TraceRequest> requests;  // by arrival
  std::vector<std::string> clients;    // names; the first is that of requests that name none
};

}  // namespace tessera
