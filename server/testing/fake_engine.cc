#include "server/testing/fake_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace tessera {

FakeEngine::FakeEngine(EngineLimits limits, ScriptFor script_for)
    : limits_(limits), script_for_(std::move(script_for)) {
  status_.ready = true;
  status_.num_blocks_total = limits.num_blocks_per_rank;
}

FakeEngine::~FakeEngine() { StopThread(); }

EngineLimits FakeEngine::DefaultLimits() {
  return {.context_tokens_max = 1000,
          .cache_tokens_per_rank = 64 * 100,
          .vocab_size = 400,
          .num_ranks = 1,
          .block_tokens = 64,
          .num_blocks_per_rank = 100};
}

void FakeEngine::SetSink(TokenSink* sink) {
  MutexLock lock(mutex_);
  sink_ = sink;
}

bool FakeEngine::HasWork() const {
  return std::any_of(live_.begin(), live_.end(),
                     [](const auto& entry) { return !entry.second.script.waits || entry.second.is_cancelled; });
}

void FakeEngine::StartThread() {
  thread_ = std::thread([this] {
    while (true) {
      {
        MutexLock lock(mutex_);
        while (!thread_stops_ && !HasWork()) changed_.Wait(mutex_);
        if (thread_stops_) return;
      }
      Step();
    }
  });
}

void FakeEngine::StopThread() {
  {
    MutexLock lock(mutex_);
    thread_stops_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

std::vector<PositionLogprobs> FakeEngine::Logprobs(const Live& live, const std::vector<TokenId>& tokens,
                                                   int32_t num_top) const {
  std::vector<PositionLogprobs> result;
  for (const TokenId token : tokens) {
    const size_t count = std::min(live.script.top.size(), static_cast<size_t>(num_top));
    result.push_back({.token = {token, live.script.logprob},
                      .top = {live.script.top.begin(), live.script.top.begin() + static_cast<std::ptrdiff_t>(count)}});
  }
  return result;
}

RequestTokens FakeEngine::Advance(Live& live, int tokens_per_step) {
  RequestTokens out{.request = live.request.id};
  if (live.is_cancelled) {
    out.finish = FinishReason::kCancelled;
    return out;
  }
  const SamplingParams& sampling = live.request.sampling;
  if (!live.prompt_done) {
    live.prompt_done = true;
    out.num_cached_tokens = live.script.num_cached_tokens;
    if (sampling.num_prompt_logprobs >= 0) {
      out.prompt_logprobs =
          Logprobs(live, {live.request.prompt.begin() + 1, live.request.prompt.end()}, sampling.num_prompt_logprobs);
    }
  }
  const size_t limit = std::min(live.script.tokens.size(), static_cast<size_t>(live.request.max_tokens));
  const size_t end = std::min(limit, live.next + static_cast<size_t>(tokens_per_step));
  out.tokens.assign(live.script.tokens.begin() + static_cast<std::ptrdiff_t>(live.next),
                    live.script.tokens.begin() + static_cast<std::ptrdiff_t>(end));
  live.next = end;
  if (sampling.num_logprobs >= 0) out.logprobs = Logprobs(live, out.tokens, sampling.num_logprobs);
  if (end == limit) {
    out.finish = limit < live.script.tokens.size() ? FinishReason::kLength : live.script.finish;
    if (out.finish == FinishReason::kError) out.status = live.script.status;
  }
  return out;
}

int FakeEngine::Step(int tokens_per_step) {
  TokenBatch batch;
  TokenSink* sink = nullptr;
  {
    MutexLock lock(mutex_);
    sink = sink_;
    for (auto& [id, live] : live_) {
      if (live.script.waits && !live.is_cancelled) continue;
      batch.requests.push_back(Advance(live, tokens_per_step));
      status_.num_generated_tokens += static_cast<int64_t>(batch.requests.back().tokens.size());
    }
    ++status_.num_steps;
    for (const RequestTokens& tokens : batch.requests) {
      if (!tokens.finish.has_value()) continue;
      ++status_.num_finished[static_cast<size_t>(*tokens.finish)];
      live_.erase(tokens.request);
    }
    changed_.NotifyAll();
  }
  const int num_served = static_cast<int>(batch.requests.size());
  TESSERA_CHECK(sink != nullptr);
  if (num_served > 0) sink->OnTokens(std::move(batch));
  return num_served;
}

void FakeEngine::Release() {
  MutexLock lock(mutex_);
  for (auto& [id, live] : live_) live.script.waits = false;
  changed_.NotifyAll();
}

void FakeEngine::RefuseWith(absl::Status status, int num_taken_before) {
  MutexLock lock(mutex_);
  refusal_ = std::move(status);
  num_taken_before_refusal_ = num_taken_before;
}

void FakeEngine::SetReady(bool ready) {
  MutexLock lock(mutex_);
  status_.ready = ready;
  status_.reason = ready ? "" : "loading";
}

absl::Status FakeEngine::Submit(Request request) {
  TESSERA_RETURN_IF_ERROR(Validate(request, limits_.vocab_size));
  const int64_t total = static_cast<int64_t>(request.prompt.size()) + request.max_tokens;
  if (total > limits_.context_tokens_max) {
    return absl::OutOfRangeError(
        absl::StrFormat("prompt + max_tokens: got %d, wanted at most %d", total, limits_.context_tokens_max));
  }
  Script script = script_for_(request);
  MutexLock lock(mutex_);
  if (num_taken_before_refusal_-- <= 0) TESSERA_RETURN_IF_ERROR(refusal_);
  submitted_.push_back(request);
  status_.num_prompt_tokens += static_cast<int64_t>(request.prompt.size());
  const RequestId id = request.id;
  if (!live_.try_emplace(id, Live{.request = std::move(request), .script = std::move(script)}).second) {
    return absl::AlreadyExistsError("id");
  }
  changed_.NotifyAll();
  return absl::OkStatus();
}

void FakeEngine::Cancel(RequestId id) {
  MutexLock lock(mutex_);
  const auto found = live_.find(id);
  if (found == live_.end() || found->second.is_cancelled) {
    ++num_useless_cancels_;
    return;
  }
  found->second.is_cancelled = true;
  ++num_cancelled_;
  changed_.NotifyAll();
}

EngineStatus FakeEngine::Status() const {
  MutexLock lock(mutex_);
  EngineStatus status = status_;
  for (const auto& [id, live] : live_) ++(live.script.waits ? status.num_waiting : status.num_running);
  status.num_blocks_used = status.num_running;
  return status;
}

void FakeEngine::Drain() { RefuseWith(absl::UnavailableError("draining")); }

std::vector<Request> FakeEngine::submitted() const {
  MutexLock lock(mutex_);
  return submitted_;
}

int FakeEngine::num_cancelled() const {
  MutexLock lock(mutex_);
  return num_cancelled_;
}

int FakeEngine::num_useless_cancels() const {
  MutexLock lock(mutex_);
  return num_useless_cancels_;
}

int FakeEngine::num_live() const {
  MutexLock lock(mutex_);
  return static_cast<int>(live_.size());
}

void FakeEngine::AwaitLive(int num_live) const {
  MutexLock lock(mutex_);
  while (static_cast<int>(live_.size()) != num_live) changed_.Wait(mutex_);
}

void FakeEngine::AwaitSubmitted(int count) const {
  MutexLock lock(mutex_);
  while (static_cast<int>(submitted_.size()) < count) changed_.Wait(mutex_);
}

}  // namespace tessera
