#include "scheduler/warm_up.h"

#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

SequenceId OfRank(SequenceId first_sequence, int32_t rank) { return {first_sequence.value + rank}; }

std::vector<StepPlan> PlansWithTokens(const WorkerLimits& limits, int64_t step, int32_t num_tokens) {
  const auto num_ranks = static_cast<size_t>(limits.num_ranks);
  return {num_ranks, {.step = step, .tokens_per_rank = std::vector<int32_t>(num_ranks, num_tokens)}};
}

absl::Status RunStep(WorkerPort& worker, std::vector<StepPlan> plans) {
  const bool wants_tokens = plans.front().tokens_per_rank.front() > 0;
  worker.Submit(std::move(plans));
  TESSERA_ASSIGN_OR_RETURN(const std::vector<StepResult> results, worker.Receive());
  if (!wants_tokens) return absl::OkStatus();
  for (size_t rank = 0; rank < results.size(); ++rank) {
    if (results[rank].sequences.size() != 1) {
      return absl::InternalError(
          absl::StrFormat("warm-up: rank %d gave %d results for one sequence", rank, results[rank].sequences.size()));
    }
    const SequenceResult& result = results[rank].sequences.front();
    if (result.tokens.size() != 1) {
      return absl::InternalError(absl::StrFormat("warm-up: rank %d gave %d tokens, wanted 1: %s", rank,
                                                 result.tokens.size(), result.status.ToString()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WarmUpWorkers(WorkerPort& worker, int64_t first_step, SequenceId first_sequence) {
  const WorkerLimits& limits = worker.limits();
  // A prompt token and a generated one: one block, or two where a block holds a single token.
  const bool decodes = limits.context_tokens_max >= 3 && limits.block_tokens * limits.num_blocks >= 2;
  const std::vector<BlockId> blocks =
      decodes && limits.block_tokens < 2 ? std::vector<BlockId>{0, 1} : std::vector<BlockId>{0};
  std::vector<StepPlan> prefill = PlansWithTokens(limits, first_step, 1);
  std::vector<StepPlan> decode = PlansWithTokens(limits, first_step + 1, decodes ? 1 : 0);
  std::vector<StepPlan> free = PlansWithTokens(limits, first_step + 2, 0);
  for (int32_t rank = 0; rank < limits.num_ranks; ++rank) {
    const auto i = static_cast<size_t>(rank);
    const SequenceId sequence = OfRank(first_sequence, rank);
    prefill[i].added.push_back(
        {.sequence = sequence, .prompt = {0}, .sampling = {.temperature = 0}, .max_tokens = decodes ? 2 : 1});
    prefill[i].blocks.push_back({sequence, blocks});
    prefill[i].slices.push_back({sequence, 1});
    if (decodes) decode[i].slices.push_back({sequence, 1});
    free[i].freed.push_back(sequence);
  }
  TESSERA_RETURN_IF_ERROR(RunStep(worker, std::move(prefill)));
  TESSERA_RETURN_IF_ERROR(RunStep(worker, std::move(decode)));
  return RunStep(worker, std::move(free));
}

}  // namespace tessera
