#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/simulation/length_distribution.h"
#include "scheduler/simulation/trace.h"

namespace tessera {

// A made-up load.
struct TraceRecipe {
  int32_t num_requests = 1000;
  double requests_per_second = 10;  // Poisson arrivals; 0: all at once
  LengthDistribution prompt = {LengthDistribution::Kind::kLogNormal, 800, 1};
  LengthDistribution output = {LengthDistribution::Kind::kLogNormal, 300, 0.8};
  int32_t context_tokens_max = 8192;         // prompt and answer are cut to fit
  double prefix_share = 0;                   // of the requests that begin with a common prefix
  int32_t num_prefixes = 1;                  // different ones, equally likely
  int32_t prefix_tokens = 512;               // of each; they come before the prompt's own tokens
  std::vector<double> client_weights = {1};  // shares of the requests, one client each
  double cancel_share = 0;                   // of the requests whose client goes away, within cancel_within
  absl::Duration cancel_within = absl::Seconds(10);
  uint64_t seed = 1;
};

// Names the field, what it got and what it wanted.
absl::Status Validate(const TraceRecipe& recipe);

// The same recipe gives the same trace, everywhere. Requires: Validate() is OK.
Trace GenerateTrace(const TraceRecipe& recipe);

}  // namespace tessera
