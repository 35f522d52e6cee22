#include "scheduler/remote/group_supervisor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/status_totals.h"
#include "spdlog/spdlog.h"

namespace tessera {

// Two looks apart: between them a request cannot hide on its way from waiting to running.
constexpr int32_t kIdleTicks = 2;

GroupSupervisor::GroupSupervisor(const SupervisorConfig& config, const Clock& clock, TokenSink& sink,
                                 GroupFactory make_group)
    : config_(config), clock_(clock), sink_(sink), make_group_(std::move(make_group)) {}

GroupSupervisor::~GroupSupervisor() { Stop(); }

void GroupSupervisor::Start() {
  thread_ = std::thread([this] { Run(); });
}

void GroupSupervisor::Stop() {
  std::shared_ptr<Epoch> epoch;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    epoch = epoch_;
    if (epoch != nullptr && epoch->loop != nullptr) epoch->loop->Stop();
    changed_.NotifyAll();
  }
  // A loop that runs ends in order; before there is one, only the group can be told.
  if (epoch != nullptr && ReadyLoop() == nullptr) epoch->group->Break(absl::CancelledError("the scheduler stops"));
  if (thread_.joinable()) thread_.join();
}

void GroupSupervisor::Run() {
  int32_t backoff_ticks = 0;
  while (true) {
    {
      const MutexLock lock(mutex_);
      if (stopping_) return;
    }
    backoff_ticks = RunEpoch() ? 0 : std::clamp(2 * backoff_ticks, config_.retry_ticks_min, config_.retry_ticks_max);
    WaitForTicks(backoff_ticks);
  }
}

bool GroupSupervisor::RunEpoch() {
  const auto epoch = std::make_shared<Epoch>();
  const Epoch* id = epoch.get();  // a late event of an epoch must not hit the next one
  epoch->group = make_group_({.on_broken = [this, id] { OnBroken(id); }, .on_leaving = [this, id] { OnLeaving(id); }});
  {
    const MutexLock lock(mutex_);
    if (stopping_) return false;
    epoch_ = epoch;
    leaving_ = false;
    idle_ticks_ = 0;
  }
  const absl::Status reason = ServeEpoch(*epoch);
  epoch->group->Close();
  const MutexLock lock(mutex_);
  const bool was_ready = is_ready_;
  if (!stopping_) spdlog::warn("the worker group has left service: {}", std::string(reason.message()));
  last_failure_ = std::string(reason.message());
  if (epoch->loop != nullptr) AddCounters(epoch->loop->Status(), past_);
  is_ready_ = false;
  epoch_.reset();
  return was_ready;
}

absl::Status GroupSupervisor::ServeEpoch(Epoch& epoch) {
  TESSERA_RETURN_IF_ERROR(epoch.group->Connect());
  TESSERA_RETURN_IF_ERROR(Validate(config_.engine, epoch.group->limits()));
  auto loop = std::make_unique<EngineLoop>(config_.engine, clock_, *epoch.group, sink_);
  {
    const MutexLock lock(mutex_);
    epoch.loop = std::move(loop);
    if (draining_) epoch.loop->Drain();
    if (stopping_) epoch.loop->Stop();
  }
  TESSERA_RETURN_IF_ERROR(epoch.loop->WarmUp());
  {
    const MutexLock lock(mutex_);
    is_ready_ = true;
    limits_ = epoch.loop->limits();
    model_fingerprint_ = epoch.group->model_fingerprint();
  }
  spdlog::info("the worker group is ready: {} ranks, {} cache blocks each", epoch.group->limits().num_ranks,
               epoch.group->limits().num_blocks);
  epoch.loop->Run();
  return absl::UnavailableError(epoch.group->State());
}

void GroupSupervisor::OnBroken(const Epoch* epoch) {
  const MutexLock lock(mutex_);
  // An idle loop looks at nothing but its inbox.
  if (epoch_.get() == epoch && epoch_->loop != nullptr) epoch_->loop->Stop();
}

void GroupSupervisor::OnLeaving(const Epoch* epoch) {
  const MutexLock lock(mutex_);
  if (epoch_.get() != epoch) return;
  leaving_ = true;
  if (epoch_->loop != nullptr) epoch_->loop->Drain();
}

void GroupSupervisor::Tick() {
  std::shared_ptr<Epoch> epoch;
  {
    const MutexLock lock(mutex_);
    epoch = epoch_;
    ticks_to_wait_ = std::max(0, ticks_to_wait_ - 1);
    changed_.NotifyAll();
    if (leaving_ && is_ready_) {
      const EngineStatus status = epoch_->loop->Status();
      idle_ticks_ = status.num_waiting + status.num_running == 0 ? idle_ticks_ + 1 : 0;
      if (idle_ticks_ == kIdleTicks) epoch_->loop->Stop();
    }
  }
  if (epoch != nullptr) epoch->group->Tick();
}

void GroupSupervisor::WaitForTicks(int32_t ticks) {
  const MutexLock lock(mutex_);
  ticks_to_wait_ = ticks;
  while (ticks_to_wait_ > 0 && !stopping_) changed_.Wait(mutex_);
}

std::shared_ptr<EngineLoop> GroupSupervisor::ReadyLoop() const {
  const MutexLock lock(mutex_);
  return is_ready_ ? std::shared_ptr<EngineLoop>(epoch_, epoch_->loop.get()) : nullptr;
}

absl::Status GroupSupervisor::Submit(Request request) {
  if (const std::shared_ptr<EngineLoop> loop = ReadyLoop()) return loop->Submit(std::move(request));
  const MutexLock lock(mutex_);
  ++past_.num_refused;
  return absl::UnavailableError("the worker group is not ready");
}

void GroupSupervisor::Cancel(RequestId id) {
  if (const std::shared_ptr<EngineLoop> loop = ReadyLoop()) loop->Cancel(id);
}

EngineLimits GroupSupervisor::limits() const {
  const MutexLock lock(mutex_);
  return limits_;
}

std::string GroupSupervisor::model_fingerprint() const {
  const MutexLock lock(mutex_);
  return model_fingerprint_;
}

EngineStatus GroupSupervisor::Status() const {
  const MutexLock lock(mutex_);
  EngineStatus status;
  if (epoch_ != nullptr && epoch_->loop != nullptr) {
    status = epoch_->loop->Status();
    if (status.ready && !is_ready_) {  // it has just warmed up, and takes no request before this object knows
      status.ready = false;
      status.reason = "starting";
    }
  } else if (epoch_ != nullptr) {
    status.reason = epoch_->group->State();
  } else {
    status.reason = last_failure_.empty() ? "starting" : last_failure_;
  }
  AddCounters(past_, status);
  return status;
}

void GroupSupervisor::Drain() {
  const MutexLock lock(mutex_);
  draining_ = true;
  if (epoch_ != nullptr && epoch_->loop != nullptr) epoch_->loop->Drain();
}

}  // namespace tessera
