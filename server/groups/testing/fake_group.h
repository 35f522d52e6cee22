#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "scheduler/contract/engine_port.h"
#include "scheduler/testing/fake_model.h"

namespace tessera {

// A worker group whose tokens are a function of the seed and of all tokens before, as a real one's are, so that a
// request that moves to another such group must go on as if nothing had happened. It dies and comes back when a test
// says so. Thread-safe.
class FakeGroup final : public EnginePort {
 public:
  FakeGroup(const FakeModel& model, EngineLimits limits, TokenSink& sink)
      : model_(model), limits_(limits), sink_(sink) {}

  // Brings each request its next token, or its next few prompt log probabilities. Returns how many requests it served.
  int Step();
  void Kill();  // not ready; ends everything with Unavailable
  void Restart();
  void SetReady(bool ready);
  void RefuseSubmitsWith(absl::Status status);      // OK: none
  void EndWith(RequestId id, absl::Status status);  // one request, with kError
  void Say(RequestTokens tokens);                   // whatever a test wants
  void SetWaitingTokens(int64_t count);             // of other servers' requests

  absl::Status Submit(Request request) override;
  void Cancel(RequestId id) override;
  EngineLimits limits() const override { return limits_; }
  EngineStatus Status() const override;
  void Drain() override { SetReady(false); }

  std::vector<Request> submitted() const;
  int num_live() const;
  int num_cancelled() const;  // requests that Cancel reached

 private:
  static constexpr int64_t kPromptLogprobsPerStep = 4;
  struct Live {
    Request request;  // `generated` grows
    uint64_t history_hash = 0;
    int64_t num_prompt_logprobs = 0;
    bool is_cancelled = false;
    bool has_told_cached = false;
  };
  RequestTokens Advance(Live& live) const;

  const FakeModel& model_;
  const EngineLimits limits_;
  TokenSink& sink_;
  mutable Mutex mutex_;
  bool ready_ ABSL_GUARDED_BY(mutex_) = true;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  int64_t num_waiting_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_cancelled_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t num_generated_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<RequestId, Live> live_ ABSL_GUARDED_BY(mutex_);
  std::vector<Request> submitted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tessera
