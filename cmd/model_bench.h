#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "cmd/bench_steps.h"

namespace tessera {

// Medians over the steps or repetitions of one measurement.
struct PrefillResult {
  int32_t prompt_tokens = 0;
  absl::Duration duration;  // of the whole prompt
  double tokens_per_second() const { return prompt_tokens / absl::ToDoubleSeconds(duration); }
};
struct DecodeResult {
  int32_t batch = 0;           // sequences, all on one rank
  int32_t context_tokens = 0;  // of each sequence at the first measured step
  absl::Duration step;         // median
  double tokens_per_second() const { return batch / absl::ToDoubleSeconds(step); }
};

// Drives a worker group by hand, without server or scheduler: what the engine could reach at best. Prompts are random
// tokens of a fixed seed.
class ModelBench {
 public:
  ModelBench(BenchSteps& steps, const Clock& clock);

  // OutOfRange if the worker's limits are too small for the measurement.
  absl::StatusOr<PrefillResult> Prefill(int32_t prompt_tokens, int repetitions);
  absl::StatusOr<DecodeResult> Decode(int32_t batch, int32_t context_tokens, int32_t num_steps);

 private:
  // Adds `count` sequences of `prompt_tokens` with room for `num_new` more and runs their prompts.
  absl::Status Start(int32_t count, int32_t prompt_tokens, int32_t num_new);
  absl::Status FreeAll();

  BenchSteps& steps_;
  const Clock& clock_;
  uint64_t random_ = 0x9E3779B97F4A7C15;
  std::vector<SequenceId> running_;
};

}  // namespace tessera
