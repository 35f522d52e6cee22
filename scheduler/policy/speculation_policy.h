#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace tessera {

struct SpeculationConfig {
  int32_t draft_tokens_max = 0;  // 0: never draft
  int32_t trial_interval = 256;  // steps of a batch size between two trials of another number of drafts
  int32_t trial_samples = 8;     // steps that a trial measures
  int32_t backoff_max = 16;      // trials that change nothing make the interval longer, up to so many times
  double gain_min = 0.03;        // another number must be faster by this fraction to be taken
};

// What one step of the workers did and took, in the order of the steps.
struct StepSample {
  int32_t draft_tokens = 0;        // StepPlan::draft_tokens
  int32_t num_decoding = 0;        // sequences that ran a decode slice, over all ranks
  int64_t num_prefill_tokens = 0;  // likewise
  int64_t num_tokens = 0;          // that those sequences got: one each and the accepted drafts
  absl::Duration duration;         // of the slowest rank
};

// Chooses how many tokens to draft. A draft pays while a step's time is spent on reading weights, and costs when it is
// spent on arithmetic, so the choice is made for each batch size on its own (1, 2, 3–4, 5–8 … decoding sequences): by
// tokens per second and sequence, measured. Drafting starts at the maximum. Now and then a short trial runs the next
// other number and is compared with the steps just before it, for what was measured long ago had other contexts; it
// must be better by a margin, so that noise does not make the choice swing. Trials that change nothing become rarer.
//
// Steps with prefill say nothing (chunks decide their time); nor does the first step after a change, which verifies the
// drafts of the old number and makes those of the new. Decides by the samples alone. Not thread-safe.
class SpeculationPolicy {
 public:
  explicit SpeculationPolicy(const SpeculationConfig& config);

  // How many tokens the next step, in which `num_decoding` sequences decode, is to draft. Counts as a planned step.
  int32_t DraftTokens(int32_t num_decoding);

  // A step's results have come. Samples lag behind DraftTokens() by the steps under way.
  void OnStep(const StepSample& sample);

  // What a batch size has settled on, trials aside.
  int32_t Settled(int32_t num_decoding) const;

 private:
  struct Speed {
    double tokens = 0;  // per sequence
    double seconds = 0;

    bool IsFasterThan(const Speed& other, double gain) const;
  };
  struct Batch {  // of one range of sizes
    int32_t draft_tokens = 0;
    Speed recent;  // with draft_tokens; older steps fade out
    int32_t num_recent = 0;
    int32_t next_trial = 0;  // number of drafts
    int32_t steps_to_trial = 0;
    int32_t backoff = 1;
    int32_t trial_steps_left = 0;  // > 0: a trial runs
    Speed trial;
    int32_t num_trial = 0;
  };

  Batch& Of(int32_t num_decoding);
  void StartTrial(Batch& batch) const;
  void EndTrial(Batch& batch) const;

  const SpeculationConfig config_;
  std::vector<Batch> batches_;  // [i]: up to 2^i sequences
  int32_t last_draft_tokens_ = -1;
};

}  // namespace tessera
