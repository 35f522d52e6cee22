#include "server/groups/testing/fake_group.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace tessera {

RequestTokens FakeGroup::Advance(Live& live) const {
  Request& request = live.request;
  RequestTokens out{.request = request.id};
  if (live.is_cancelled) {
    out.finish = FinishReason::kCancelled;
    return out;
  }
  const auto num_prompt_logprobs = static_cast<int64_t>(request.prompt.size()) - 1;
  if (request.sampling.num_prompt_logprobs >= 0 && live.num_prompt_logprobs < num_prompt_logprobs) {
    const int64_t end = std::min(num_prompt_logprobs, live.num_prompt_logprobs + kPromptLogprobsPerStep);
    while (live.num_prompt_logprobs < end) {
      const TokenId token = request.prompt[static_cast<size_t>(++live.num_prompt_logprobs)];
      out.prompt_logprobs.push_back(model_.Logprobs(token, request.sampling.num_prompt_logprobs));
    }
    if (live.num_prompt_logprobs < num_prompt_logprobs) return out;
  }
  const TokenId token = model_.NextToken({request.prompt, request.generated, live.history_hash, request.sampling,
                                          request.stop_tokens, request.min_tokens});
  out.tokens.push_back(token);
  if (!std::exchange(live.has_told_cached, true)) out.num_cached_tokens = 1;
  if (request.sampling.num_logprobs >= 0) out.logprobs.push_back(model_.Logprobs(token, request.sampling.num_logprobs));
  request.generated.push_back(token);
  live.history_hash = FakeModel::Extend(live.history_hash, token);
  const auto& stops = request.stop_tokens;
  if (std::find(stops.begin(), stops.end(), token) != stops.end()) {
    out.finish = FinishReason::kStop;
  } else if (static_cast<int32_t>(request.generated.size()) == request.max_tokens) {
    out.finish = FinishReason::kLength;
  }
  return out;
}

int FakeGroup::Step() {
  TokenBatch batch;
  {
    const MutexLock lock(mutex_);
    for (auto& [id, live] : live_) {
      batch.requests.push_back(Advance(live));
      num_generated_ += static_cast<int64_t>(batch.requests.back().tokens.size());
    }
    for (const RequestTokens& tokens : batch.requests) {
      if (tokens.finish.has_value()) live_.erase(tokens.request);
    }
  }
  const auto num_served = static_cast<int>(batch.requests.size());
  if (num_served > 0) sink_.OnTokens(std::move(batch));
  return num_served;
}

void FakeGroup::Kill() {
  TokenBatch batch;
  {
    const MutexLock lock(mutex_);
    ready_ = false;
    for (const auto& [id, live] : live_) {
      batch.requests.push_back(
          {.request = id, .finish = FinishReason::kError, .status = absl::UnavailableError("the group was killed")});
    }
    live_.clear();
  }
  if (!batch.requests.empty()) sink_.OnTokens(std::move(batch));
}

void FakeGroup::Restart() { SetReady(true); }

void FakeGroup::SetReady(bool ready) {
  const MutexLock lock(mutex_);
  ready_ = ready;
}

void FakeGroup::RefuseSubmitsWith(absl::Status status) {
  const MutexLock lock(mutex_);
  refusal_ = std::move(status);
}

void FakeGroup::SetWaitingTokens(int64_t count) {
  const MutexLock lock(mutex_);
  num_waiting_tokens_ = count;
}

void FakeGroup::EndWith(RequestId id, absl::Status status) {
  {
    const MutexLock lock(mutex_);
    live_.erase(id);
  }
  Say({.request = id, .finish = FinishReason::kError, .status = std::move(status)});
}

void FakeGroup::Say(RequestTokens tokens) {
  TokenBatch batch;
  batch.requests.push_back(std::move(tokens));
  sink_.OnTokens(std::move(batch));
}

absl::Status FakeGroup::Submit(Request request) {
  TESSERA_RETURN_IF_ERROR(Validate(request, limits_.vocab_size));
  const MutexLock lock(mutex_);
  if (!ready_) return absl::UnavailableError("not ready");
  TESSERA_RETURN_IF_ERROR(refusal_);
  submitted_.push_back(request);
  Live live{.request = std::move(request)};
  for (const TokenId token : live.request.prompt) live.history_hash = FakeModel::Extend(live.history_hash, token);
  for (const TokenId token : live.request.generated) live.history_hash = FakeModel::Extend(live.history_hash, token);
  // As a scheduler does: what was generated elsewhere came after the prompt's log probabilities.
  if (!live.request.generated.empty()) live.num_prompt_logprobs = static_cast<int64_t>(live.request.prompt.size());
  const RequestId id = live.request.id;
  if (!live_.emplace(id, std::move(live)).second) return absl::AlreadyExistsError("id");
  return absl::OkStatus();
}

void FakeGroup::Cancel(RequestId id) {
  const MutexLock lock(mutex_);
  const auto found = live_.find(id);
  if (found == live_.end() || std::exchange(found->second.is_cancelled, true)) return;
  ++num_cancelled_;
}

EngineStatus FakeGroup::Status() const {
  const MutexLock lock(mutex_);
  EngineStatus status{.ready = ready_, .reason = ready_ ? "" : "killed"};
  status.num_running = static_cast<int32_t>(live_.size());
  status.num_waiting_tokens = num_waiting_tokens_;
  status.num_generated_tokens = num_generated_;
  return status;
}

std::vector<Request> FakeGroup::submitted() const {
  const MutexLock lock(mutex_);
  return submitted_;
}

int FakeGroup::num_cancelled() const {
  const MutexLock lock(mutex_);
  return num_cancelled_;
}

int FakeGroup::num_live() const {
  const MutexLock lock(mutex_);
  return static_cast<int>(live_.size());
}

}  // namespace tessera
