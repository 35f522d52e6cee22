#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/contract/step_result.h"
#include "scheduler/contract/token_batch.h"
#include "scheduler/open_request.h"

namespace tessera {

// Whether these are the results of `step`, of all ranks. What the workers send is never trusted: a breach of the
// contract is an error that takes the group out of rotation.
absl::Status CheckResults(const std::vector<StepResult>& results, int64_t step, int32_t num_ranks);

// Joins what a step brought to a request with what is known of it, and says what is new for the server; finish and
// status are left in `result`. Returns an error when the result cannot come from the request's slice in `step`.
absl::StatusOr<RequestTokens> TakeResult(OpenRequest& request, SequenceResult& result, int64_t step);

}  // namespace tessera
