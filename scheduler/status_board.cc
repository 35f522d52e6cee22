#include "scheduler/status_board.h"

#include <algorithm>

namespace tessera {

void StatusBoard::CountStep(const StepCounts& counts, absl::Time now) {
  current_.ready = true;
  current_.reason.clear();
  current_.last_progress = now;
  ++current_.num_steps;
  current_.num_prompt_tokens += counts.num_prompt_tokens;
  current_.num_cached_prompt_tokens += counts.num_cached_prompt_tokens;
  current_.num_prefix_cache_queries += counts.num_prefix_queries;
  current_.num_prefix_cache_hits += counts.num_prefix_hits;
  current_.num_prefix_cache_collisions += counts.num_prefix_collisions;
  current_.num_step_tokens += counts.num_tokens;
  if (counts.num_tokens == 0) return;
  const auto bound = std::lower_bound(kStepTokensBounds.begin(), kStepTokensBounds.end(), counts.num_tokens);
  ++current_.num_steps_by_tokens[static_cast<size_t>(bound - kStepTokensBounds.begin())];
}

void StatusBoard::CountDrafts(const StepResult& result) {
  if (result.drafts.empty()) return;
  current_.num_drafts += result.drafts.front().num_drafted;  // each draft has a first token
  for (size_t position = 0; position < result.drafts.size(); ++position) {
    current_.num_draft_tokens += result.drafts[position].num_drafted;
    current_.num_accepted_by_position[position] += result.drafts[position].num_accepted;
  }
}

void StatusBoard::Publish() {
  const MutexLock lock(mutex_);
  published_ = current_;
}

EngineStatus StatusBoard::Read() const {
  const MutexLock lock(mutex_);
  EngineStatus status = published_;
  status.num_refused = num_refused_;
  if (is_draining_ && status.ready) {
    status.ready = false;
    status.reason = "draining";
  }
  return status;
}

void StatusBoard::CountRefused() {
  const MutexLock lock(mutex_);
  ++num_refused_;
}

void StatusBoard::SetDraining() {
  const MutexLock lock(mutex_);
  is_draining_ = true;
}

}  // namespace tessera
