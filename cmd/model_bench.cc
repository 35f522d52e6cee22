#include "cmd/model_bench.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

absl::Duration Median(std::vector<absl::Duration> durations) {
  const auto middle = durations.begin() + static_cast<std::ptrdiff_t>(durations.size() / 2);
  std::nth_element(durations.begin(), middle, durations.end());
  return *middle;
}

}  // namespace

ModelBench::ModelBench(BenchSteps& steps, const Clock& clock) : steps_(steps), clock_(clock) {}

absl::Status ModelBench::Start(int32_t count, int32_t prompt_tokens, int32_t num_new) {
  const WorkerLimits& limits = steps_.limits();
  const int32_t tokens = prompt_tokens + num_new;
  const int32_t blocks = (tokens + limits.block_tokens - 1) / limits.block_tokens;
  if (count > limits.sequences_max || tokens > limits.context_tokens_max ||
      int64_t{count} * blocks > limits.num_blocks) {
    return absl::OutOfRangeError(absl::StrFormat(
        "%d sequences of %d tokens: the worker has room for %d sequences of %d tokens and %d blocks of %d tokens",
        count, tokens, limits.sequences_max, limits.context_tokens_max, limits.num_blocks, limits.block_tokens));
  }
  StepPlan plan;
  int32_t planned = 0;
  for (int32_t s = 0; s < count; ++s) {
    AddedSequence added{.sequence = steps_.NewSequence(), .max_tokens = num_new + 1};
    for (int32_t t = 0; t < prompt_tokens; ++t) {
      random_ = random_ * 6364136223846793005U + 1442695040888963407U;
      added.prompt.push_back(static_cast<TokenId>((random_ >> 33) % static_cast<uint64_t>(limits.vocab_size)));
    }
    AppendedBlocks appended{.sequence = added.sequence};
    for (int32_t b = 0; b < blocks; ++b) appended.blocks.push_back(s * blocks + b);
    running_.push_back(added.sequence);
    plan.added.push_back(std::move(added));
    plan.blocks.push_back(std::move(appended));
    for (int32_t left = prompt_tokens; left > 0;) {
      const int32_t chunk = std::min(left, limits.step_tokens_max - planned);
      plan.slices.push_back({running_.back(), chunk});
      planned += chunk;
      left -= chunk;
      if (planned == limits.step_tokens_max) {
        steps_.Submit(std::exchange(plan, {}));
        planned = 0;
        TESSERA_RETURN_IF_ERROR(steps_.Receive().status());
      }
    }
  }
  if (planned == 0) return absl::OkStatus();
  steps_.Submit(std::move(plan));
  return steps_.Receive().status();
}

absl::Status ModelBench::FreeAll() {
  steps_.Submit({.freed = std::exchange(running_, {})});
  return steps_.Receive().status();
}

absl::StatusOr<PrefillResult> ModelBench::Prefill(int32_t prompt_tokens, int repetitions) {
  std::vector<absl::Duration> durations;
  for (int i = 0; i < repetitions; ++i) {
    const absl::Time start = clock_.Now();
    TESSERA_RETURN_IF_ERROR(Start(1, prompt_tokens, 1));
    durations.push_back(clock_.Now() - start);
    TESSERA_RETURN_IF_ERROR(FreeAll());
  }
  return PrefillResult{prompt_tokens, Median(std::move(durations))};
}

absl::StatusOr<DecodeResult> ModelBench::Decode(int32_t batch, int32_t context_tokens, int32_t num_steps) {
  TESSERA_RETURN_IF_ERROR(Start(batch, context_tokens, num_steps + 1));
  StepPlan plan;
  for (const SequenceId sequence : running_) plan.slices.push_back({sequence, 1});
  std::vector<absl::Duration> durations;
  steps_.Submit(plan);
  for (int32_t i = 0; i < num_steps; ++i) {
    const absl::Time start = clock_.Now();
    if (i + 1 < num_steps) steps_.Submit(plan);  // one step ahead, as the scheduler does
    TESSERA_RETURN_IF_ERROR(steps_.Receive().status());
    durations.push_back(clock_.Now() - start);
  }
  TESSERA_RETURN_IF_ERROR(FreeAll());
  return DecodeResult{batch, context_tokens, Median(std::move(durations))};
}

}  // namespace tessera
