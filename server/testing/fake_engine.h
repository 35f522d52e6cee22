#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "scheduler/contract/engine_port.h"

namespace tessera {

// What a FakeEngine says to one request.
struct Script {
  std::vector<TokenId> tokens;                // at most max_tokens of them come
  FinishReason finish = FinishReason::kStop;  // after all tokens have come; with the last of them
  absl::Status status;                        // of kError
  bool waits = false;                         // stays queued until Release
  int32_t num_cached_tokens = 0;
  float logprob = -0.5F;          // of each token, prompt's too
  std::vector<TokenLogprob> top;  // at each position, cut to what was asked
};

// An engine without a model: each Step brings the next scripted tokens of every running request. Steps run when a test
// calls Step, or on a thread of their own after StartThread. Thread-safe.
class FakeEngine final : public EnginePort {
 public:
  using ScriptFor = std::function<Script(const Request&)>;

  FakeEngine(EngineLimits limits, ScriptFor script_for);
  ~FakeEngine() override;

  static EngineLimits DefaultLimits();

  void SetSink(TokenSink* sink);
  void StartThread();
  void StopThread();

  // One step: `tokens_per_step` tokens of each running request. Returns how many requests it served.
  int Step(int tokens_per_step = 1);
  void Release();  // lets the waiting requests run
  // Refuses every Submit after the next `num_taken_before`; OK: none.
  void RefuseWith(absl::Status status, int num_taken_before = 0);
  void SetReady(bool ready);

  absl::Status Submit(Request request) override;
  void Cancel(RequestId id) override;
  EngineLimits limits() const override { return limits_; }
  EngineStatus Status() const override;
  void Drain() override;

  std::vector<Request> submitted() const;
  int num_cancelled() const;        // requests that Cancel ended
  int num_useless_cancels() const;  // Cancel calls for requests that had ended or never were
  int num_live() const;
  // These block until it is so.
  void AwaitLive(int num_live) const;
  void AwaitSubmitted(int count) const;

 private:
  struct Live {
    Request request;
    Script script;
    size_t next = 0;
    bool is_cancelled = false;
    bool prompt_done = false;
  };
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  RequestTokens Advance(Live& live, int tokens_per_step);
  std::vector<PositionLogprobs> Logprobs(const Live& live, const std::vector<TokenId>& tokens, int32_t num_top) const;

  const EngineLimits limits_;
  const ScriptFor script_for_;
  mutable Mutex mutex_;
  mutable CondVar changed_;
  TokenSink* sink_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::map<RequestId, Live> live_ ABSL_GUARDED_BY(mutex_);
  std::vector<Request> submitted_ ABSL_GUARDED_BY(mutex_);
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  int num_taken_before_refusal_ ABSL_GUARDED_BY(mutex_) = 0;
  EngineStatus status_ ABSL_GUARDED_BY(mutex_);
  int num_cancelled_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_useless_cancels_ ABSL_GUARDED_BY(mutex_) = 0;
  bool thread_stops_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tessera
