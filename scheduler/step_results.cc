#include "scheduler/step_results.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/step_plan.h"

namespace tessera {
namespace {

absl::Status CheckDrafts(const StepResult& result, size_t rank) {
  if (result.drafts.size() > static_cast<size_t>(kDraftTokensMax)) {
    return absl::InternalError(absl::StrFormat("rank %d: step %d counts drafts of %d positions, wanted at most %d",
                                               rank, result.step, result.drafts.size(), kDraftTokensMax));
  }
  for (const DraftCounts& counts : result.drafts) {
    if (counts.num_accepted >= 0 && counts.num_accepted <= counts.num_drafted) continue;
    return absl::InternalError(absl::StrFormat("rank %d: step %d accepted %d of %d drafts", rank, result.step,
                                               counts.num_accepted, counts.num_drafted));
  }
  return absl::OkStatus();
}

absl::Status CheckSequence(const OpenRequest& request, const SequenceResult& result, int64_t step) {
  const size_t num_generated = request.request.generated.size() + result.tokens.size();
  const auto max_tokens = static_cast<size_t>(request.request.max_tokens);
  if (num_generated > max_tokens || (num_generated == max_tokens && !result.finish.has_value())) {
    return absl::InternalError(absl::StrFormat("rank %d: sequence %d has %d tokens of at most %d and has not ended",
                                               request.rank, result.sequence.value, num_generated, max_tokens));
  }
  const size_t num_tokens_max = 1 + static_cast<size_t>(request.drafts_of_step(step));
  if (result.tokens.size() > num_tokens_max) {
    return absl::InternalError(absl::StrFormat("rank %d: sequence %d got %d tokens in step %d, wanted at most %d",
                                               request.rank, result.sequence.value, result.tokens.size(), step,
                                               num_tokens_max));
  }
  if ((result.finish == FinishReason::kError) == result.status.ok()) {
    return absl::InternalError(absl::StrFormat("rank %d: sequence %d: finish and status '%s' disagree", request.rank,
                                               result.sequence.value, result.status.ToString()));
  }
  return absl::OkStatus();
}

// A run after preemption may repeat log probabilities of the prompt that were delivered before.
void DropRepeatedPromptLogprobs(OpenRequest& request, std::vector<PositionLogprobs>& logprobs) {
  const auto num_logprobs = static_cast<int64_t>(logprobs.size());
  const int64_t num_repeated =
      std::clamp<int64_t>(request.num_prompt_logprobs_delivered - request.num_prompt_logprobs_seen, 0, num_logprobs);
  logprobs.erase(logprobs.begin(), logprobs.begin() + static_cast<std::ptrdiff_t>(num_repeated));
  request.num_prompt_logprobs_seen += num_logprobs;
  request.num_prompt_logprobs_delivered += num_logprobs - num_repeated;
}

}  // namespace

absl::Status CheckResults(const std::vector<StepResult>& results, int64_t step, int32_t num_ranks) {
  if (results.size() != static_cast<size_t>(num_ranks)) {
    return absl::InternalError(
        absl::StrFormat("step %d: got results of %d ranks, wanted %d", step, results.size(), num_ranks));
  }
  for (size_t rank = 0; rank < results.size(); ++rank) {
    if (results[rank].step != step) {
      return absl::InternalError(absl::StrFormat("rank %d: got the result of step %d, wanted that of step %d", rank,
                                                 results[rank].step, step));
    }
    TESSERA_RETURN_IF_ERROR(CheckDrafts(results[rank], rank));
  }
  return absl::OkStatus();
}

absl::StatusOr<RequestTokens> TakeResult(OpenRequest& request, SequenceResult& result, int64_t step) {
  TESSERA_RETURN_IF_ERROR(CheckSequence(request, result, step));
  DropRepeatedPromptLogprobs(request, result.prompt_logprobs);
  if (!result.tokens.empty()) {
    request.num_planned +=
        static_cast<int64_t>(result.tokens.size()) - 1;  // the slice was planned as if it brought one
    request.drafts_of_step(step) = 0;
  }
  std::vector<TokenId>& generated = request.request.generated;
  generated.insert(generated.end(), result.tokens.begin(), result.tokens.end());
  return RequestTokens{.request = request.request.id,
                       .tokens = std::move(result.tokens),
                       .logprobs = std::move(result.logprobs),
                       .prompt_logprobs = std::move(result.prompt_logprobs),
                       .num_cached_tokens = request.num_cached_tokens,
                       .started = request.started};
}

}  // namespace tessera
