#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/contract/engine_port.h"
#include "server/session/generate_request.h"
#include "server/session/service_config.h"

namespace tessera {

// NotFound unless `model` is the one that is served, or empty.
absl::Status CheckModel(std::string_view model, const ServiceConfig& config);

// Checks all that can be checked without the prompt's length, so that a bad request costs no tokenization.
absl::Status CheckRequest(const GenerateRequest& request, const ServiceConfig& config);

// The seed of a prompt's choice: depends on the request's seed and the choice's index alone, so that choice k is the
// same for every n. Choice 0 has the seed itself.
uint64_t ChoiceSeed(uint64_t seed, int32_t choice);

// One engine request for each choice of each prompt, without ids, prompt by prompt. `prompts[i]` are the ids of
// request.prompts[i]; `random_seed` stands in where the request has no seed. max_tokens is cut to what the context
// leaves (docs/api.md, limits); OutOfRange with the numbers if it leaves nothing.
absl::StatusOr<std::vector<Request>> BuildRequests(const GenerateRequest& request,
                                                   const std::vector<std::vector<TokenId>>& prompts,
                                                   const ServiceConfig& config, const EngineLimits& limits,
                                                   uint64_t random_seed);

}  // namespace tessera
