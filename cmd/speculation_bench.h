#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "cmd/bench_steps.h"

namespace tessera {

// The "prompt_ids" of each line of a JSON-lines file, such as tests/golden/demo/heldout.jsonl; at most `count`, spread
// over the file.
absl::StatusOr<std::vector<std::vector<TokenId>>> ReadPrompts(const std::string& path, size_t count);

// What decoding one sequence after the other took, prompts not counted.
struct SpeculationResult {
  int64_t num_tokens = 0;
  int64_t num_steps = 0;
  absl::Duration duration;
  std::vector<DraftCounts> drafts;  // by position

  double tokens_per_second() const { return static_cast<double>(num_tokens) / absl::ToDoubleSeconds(duration); }
};

// Decodes real prompts greedily, one sequence at a time on rank 0, with a number of drafts a step; without server or
// scheduler, but a step ahead as they are.
class SpeculationBench {
 public:
  // `stop_tokens` end a sequence, else max_tokens do.
  SpeculationBench(BenchSteps& steps, std::vector<TokenId> stop_tokens, int32_t max_tokens, const Clock& clock);

  // Returns the tokens and adds to `result`.
  absl::StatusOr<std::vector<TokenId>> Decode(std::span<const TokenId> prompt, int32_t draft_tokens,
                                              SpeculationResult& result);

 private:
  // Waits for the oldest step and appends its tokens. True if the sequence has ended.
  absl::StatusOr<bool> Receive(std::vector<TokenId>& tokens, SpeculationResult& result);

  BenchSteps& steps_;
  const std::vector<TokenId> stop_tokens_;
  const int32_t max_tokens_;
  const Clock& clock_;
};

// Decodes the prompts on `plain`, then on `drafting` with 1 to its draft_tokens_max drafts: in turn for each prompt, so
// that whatever else the machine does touches all alike. Results by the number of drafts. Internal if tokens differ.
absl::StatusOr<std::vector<SpeculationResult>> CompareDrafts(const std::vector<std::vector<TokenId>>& prompts,
                                                             const std::vector<TokenId>& stop_tokens, BenchSteps& plain,
                                                             BenchSteps& drafting, const Clock& clock);

}  // namespace tessera
