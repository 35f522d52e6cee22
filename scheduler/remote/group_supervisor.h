#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "scheduler/contract/engine_port.h"
#include "scheduler/engine_config.h"
#include "scheduler/engine_loop.h"
#include "scheduler/remote/group_connection.h"

namespace tessera {

struct SupervisorConfig {
  EngineConfig engine;
  int32_t retry_ticks_min = 2;  // between an epoch that failed before it was ready and the next; doubles
  int32_t retry_ticks_max = 50;
};

using GroupFactory = std::function<std::unique_ptr<GroupConnection>(GroupEvents)>;

// Keeps one worker group in service: connects to it, runs an engine loop over it, and when the group breaks begins
// again. Its users see one engine that is not ready for a while; requests that were open end with Unavailable, for
// whoever routes them to give to another group. Thread-safe.
class GroupSupervisor final : public EnginePort {
 public:
  // `clock` and `sink` outlive it.
  GroupSupervisor(const SupervisorConfig& config, const Clock& clock, TokenSink& sink, GroupFactory make_group);
  ~GroupSupervisor() override;  // Stop

  void Start();  // once

  // Ends the epoch, open requests with Unavailable, and waits for the thread. The sink is not called afterwards.
  void Stop();

  // A tenth of a second has passed.
  void Tick();

  // Of the last group that was ready, 16 bytes; empty before.
  std::string model_fingerprint() const;

  absl::Status Submit(Request request) override;
  void Cancel(RequestId id) override;
  EngineLimits limits() const override;  // of the last group that was ready; zeros before
  EngineStatus Status() const override;  // counters go on over all epochs
  void Drain() override;

 private:
  struct Epoch {
    std::unique_ptr<GroupConnection> group;
    std::unique_ptr<EngineLoop> loop;
  };

  void Run();
  // True if the group was ready in between.
  bool RunEpoch();
  absl::Status ServeEpoch(Epoch& epoch);
  void OnBroken(const Epoch* epoch);
  void OnLeaving(const Epoch* epoch);
  void WaitForTicks(int32_t ticks);
  // The loop that takes requests, kept alive by what is returned; null when there is none.
  std::shared_ptr<EngineLoop> ReadyLoop() const;

  const SupervisorConfig config_;
  const Clock& clock_;
  TokenSink& sink_;
  const GroupFactory make_group_;
  std::thread thread_;

  mutable Mutex mutex_;
  CondVar changed_;  // anything below
  std::shared_ptr<Epoch> epoch_ ABSL_GUARDED_BY(mutex_);
  bool is_ready_ ABSL_GUARDED_BY(mutex_) = false;  // epoch_->loop is there and has warmed up
  std::string model_fingerprint_ ABSL_GUARDED_BY(mutex_);
  EngineLimits limits_ ABSL_GUARDED_BY(mutex_);
  EngineStatus past_ ABSL_GUARDED_BY(mutex_);         // counters of earlier epochs
  std::string last_failure_ ABSL_GUARDED_BY(mutex_);  // why the last epoch ended
  int32_t ticks_to_wait_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool leaving_ ABSL_GUARDED_BY(mutex_) = false;  // this epoch ends when nothing runs any more
  int32_t idle_ticks_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tessera
