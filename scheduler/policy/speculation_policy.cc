#include "scheduler/policy/speculation_policy.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace tessera {
namespace {

constexpr int32_t kRecentSteps = 32;         // that count much in Batch::recent
constexpr int32_t kFirstTrialDivisor = 8;    // of the interval: the first comparison comes soon
constexpr int32_t kTrialStepsPerSample = 4;  // a trial whose steps are mostly mixed with prefill is given up

size_t Range(int32_t num_decoding) {
  return static_cast<size_t>(std::bit_width(static_cast<uint32_t>(std::max(num_decoding, 1) - 1)));
}

}  // namespace

SpeculationPolicy::SpeculationPolicy(const SpeculationConfig& config)
    : config_(config), batches_(Range(INT32_MAX) + 1) {
  TESSERA_CHECK(config.draft_tokens_max >= 0 && config.trial_interval > 0 && config.trial_samples > 0);
  TESSERA_CHECK(config.backoff_max > 0 && config.gain_min >= 0);
  for (Batch& batch : batches_) {
    batch.draft_tokens = config.draft_tokens_max;
    batch.steps_to_trial = std::max(1, config.trial_interval / kFirstTrialDivisor);
  }
}

int32_t SpeculationPolicy::DraftTokens(int32_t num_decoding) {
  if (config_.draft_tokens_max == 0) return 0;
  Batch& batch = Of(num_decoding);
  if (batch.trial_steps_left == 0 && --batch.steps_to_trial <= 0) StartTrial(batch);
  if (batch.trial_steps_left == 0) return batch.draft_tokens;
  const int32_t draft_tokens = batch.next_trial;
  if (--batch.trial_steps_left == 0) EndTrial(batch);
  return draft_tokens;
}

void SpeculationPolicy::OnStep(const StepSample& sample) {
  const bool is_steady = sample.draft_tokens == last_draft_tokens_;
  last_draft_tokens_ = sample.draft_tokens;
  if (!is_steady || sample.num_decoding == 0 || sample.num_prefill_tokens > 0) return;
  const Speed speed = {static_cast<double>(sample.num_tokens) / sample.num_decoding,
                       absl::ToDoubleSeconds(sample.duration)};
  Batch& batch = Of(sample.num_decoding);
  if (batch.trial_steps_left > 0 && sample.draft_tokens == batch.next_trial) {
    batch.trial.tokens += speed.tokens;
    batch.trial.seconds += speed.seconds;
    if (++batch.num_trial == config_.trial_samples) EndTrial(batch);
  } else if (sample.draft_tokens == batch.draft_tokens) {
    const double kept = batch.num_recent < kRecentSteps ? 1.0 : 1.0 - 1.0 / kRecentSteps;
    batch.recent.tokens = batch.recent.tokens * kept + speed.tokens;
    batch.recent.seconds = batch.recent.seconds * kept + speed.seconds;
    batch.num_recent = std::min(batch.num_recent + 1, kRecentSteps);
  }
}

int32_t SpeculationPolicy::Settled(int32_t num_decoding) const { return batches_[Range(num_decoding)].draft_tokens; }

bool SpeculationPolicy::Speed::IsFasterThan(const Speed& other, double gain) const {
  return tokens * other.seconds > other.tokens * seconds * (1 + gain);
}

SpeculationPolicy::Batch& SpeculationPolicy::Of(int32_t num_decoding) { return batches_[Range(num_decoding)]; }

void SpeculationPolicy::StartTrial(Batch& batch) const {
  if (batch.num_recent < config_.trial_samples) {  // nothing to compare with yet
    batch.steps_to_trial = config_.trial_samples;
    return;
  }
  if (batch.next_trial == batch.draft_tokens)
    batch.next_trial = (batch.next_trial + 1) % (config_.draft_tokens_max + 1);
  batch.trial = {};
  batch.num_trial = 0;
  batch.trial_steps_left = kTrialStepsPerSample * (config_.trial_samples + 1);
}

void SpeculationPolicy::EndTrial(Batch& batch) const {
  batch.trial_steps_left = 0;
  if (batch.num_trial == config_.trial_samples) {
    if (batch.trial.IsFasterThan(batch.recent, config_.gain_min)) {
      batch.draft_tokens = batch.next_trial;
      batch.recent = batch.trial;
      batch.num_recent = batch.num_trial;
      batch.backoff = 1;
    } else {
      batch.backoff = std::min(batch.backoff * 2, config_.backoff_max);
    }
    batch.next_trial = (batch.next_trial + 1) % (config_.draft_tokens_max + 1);
  }
  batch.steps_to_trial = config_.trial_interval * batch.backoff;
}

}  // namespace tessera
