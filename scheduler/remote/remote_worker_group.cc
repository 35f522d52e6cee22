#include "scheduler/remote/remote_worker_group.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "scheduler/contract/wire/check_field.h"
#include "scheduler/contract/wire/status_proto.h"
#include "scheduler/contract/wire/step_plan_proto.h"
#include "scheduler/contract/wire/step_result_proto.h"
#include "spdlog/spdlog.h"

namespace tessera {
namespace {

namespace pb = worker_pb;

constexpr int64_t kStoreKeyBytesMax = 256;
constexpr int64_t kStoreValueBytesMax = 1 << 16;
constexpr int64_t kWeightsMax = int64_t{1} << 32;

absl::Status Unexpected(const char* what, const char* when) {
  return absl::InternalError(absl::StrFormat("sent %s %s", what, when));
}

}  // namespace

// Hears one stream for the group, which outlives it: Close waits for every OnClosed.
class RemoteWorkerGroup::Listener final : public wire::StreamListener<pb::WorkerMessage> {
 public:
  Listener(RemoteWorkerGroup& group, Roster::Slot slot) : group_(group), slot_(slot) {}
  void OnMessage(pb::WorkerMessage& message) override { group_.OnMessage(slot_, message); }
  void OnClosed(const absl::Status& status) override { group_.OnClosed(slot_, status); }

 private:
  RemoteWorkerGroup& group_;
  const Roster::Slot slot_;
};

RemoteWorkerGroup::RemoteWorkerGroup(const RemoteGroupOptions& options, FindWorkers find_workers,
                                     OpenChannel open_channel, GroupEvents events)
    : options_(options),
      find_workers_(std::move(find_workers)),
      open_channel_(std::move(open_channel)),
      events_(std::move(events)),
      roster_(options.roster),
      steps_(static_cast<size_t>(options.roster.num_ranks)) {}

RemoteWorkerGroup::~RemoteWorkerGroup() { Close(); }

absl::Status RemoteWorkerGroup::Connect() {
  TESSERA_RETURN_IF_ERROR(Gather());
  return Begin();
}

absl::Status RemoteWorkerGroup::Gather() {
  while (true) {
    LookForAddresses();
    std::vector<Roster::Call> due;
    {
      const MutexLock lock(mutex_);
      due = roster_.TakeDue();
    }
    for (const Roster::Call& call : due) Call(call);
    const MutexLock lock(mutex_);
    if (!broken_.ok()) return broken_;
    if (roster_.IsComplete()) return absl::OkStatus();
    changed_.Wait(mutex_);  // a tick at the latest
  }
}

void RemoteWorkerGroup::LookForAddresses() {
  {
    const MutexLock lock(mutex_);
    if (ticks_to_address_ > 0) return;
    ticks_to_address_ = options_.address_ticks;
  }
  const absl::StatusOr<std::vector<std::string>> addresses = find_workers_();
  const MutexLock lock(mutex_);
  if (addresses.ok()) {
    roster_.SetAddresses(*addresses);
  } else {
    roster_.SetFindError(addresses.status());
  }
}

void RemoteWorkerGroup::Call(const Roster::Call& call) {
  Link link{.channel = open_channel_(call.address), .is_open = true};
  link.stub = pb::Worker::NewStub(link.channel);
  pb::Worker::Stub& stub = *link.stub;
  {
    const MutexLock lock(mutex_);
    std::swap(link, links_[call.slot]);  // an earlier call's channel ends with this function
  }
  const std::shared_ptr<Stream> stream =
      Stream::Open(std::make_shared<Listener>(*this, call.slot),
                   [&](grpc::ClientContext* context, auto* reactor) { stub.async()->Work(context, reactor); });
  pb::SchedulerMessage message;
  wire::ToProto(
      wire::SchedulerHello{.build = options_.build, .num_ranks = options_.roster.num_ranks, .rank = call.rank},
      *message.mutable_hello());
  stream->Send(std::move(message));
  bool is_late = false;
  {
    const MutexLock lock(mutex_);
    links_.at(call.slot).stream = stream;
    is_late = !broken_.ok();
  }
  if (is_late) stream->Close();
}

absl::Status RemoteWorkerGroup::Begin() {
  {
    const MutexLock lock(mutex_);
    if (!broken_.ok()) return broken_;
    if (!roster_.IsComplete()) return absl::UnavailableError("a worker left before the group began");
    limits_ = roster_.Limits();
    model_fingerprint_ = roster_.ModelFingerprint();
    const std::vector<Roster::Slot> slots = roster_.ByRank();
    for (size_t rank = 0; rank < slots.size(); ++rank) {
      Link& link = links_.at(slots[rank]);
      link.rank = static_cast<int32_t>(rank);
      by_rank_.push_back(link.stream);
    }
    phase_ = Phase::kBeginning;
    waited_ticks_ = 0;
  }
  for (const std::shared_ptr<Stream>& stream : by_rank_) {
    pb::SchedulerMessage message;
    message.mutable_begin();
    stream->Send(std::move(message));
  }
  const MutexLock lock(mutex_);
  while (broken_.ok() && phase_ != Phase::kRunning) changed_.Wait(mutex_);
  return broken_;
}

void RemoteWorkerGroup::OnMessage(Roster::Slot slot, pb::WorkerMessage& message) {
  {
    const MutexLock lock(mutex_);
    links_.at(slot).silent_ticks = 0;
    if (!broken_.ok()) return;
  }
  if (const absl::Status status = Handle(slot, message); !status.ok()) Lose(slot, status);
}

absl::Status RemoteWorkerGroup::Handle(Roster::Slot slot, pb::WorkerMessage& message) {
  switch (message.message_case()) {
    case pb::WorkerMessage::kHello:
      return TakeHello(slot, message.hello());
    case pb::WorkerMessage::kHeartbeat:
      return TakeHeartbeat(slot, message.heartbeat());
    case pb::WorkerMessage::kStoreEntry:
      return PassOn(slot, *message.mutable_store_entry());
    case pb::WorkerMessage::kReady:
      return TakeReady(slot);
    case pb::WorkerMessage::kResult:
      return TakeResult(slot, message.result());
    case pb::WorkerMessage::kFailed: {
      const absl::Status reason = wire::FromProto(message.failed().status());
      return reason.ok() ? absl::InternalError("failed without a reason") : reason;
    }
    case pb::WorkerMessage::kLeaving:
      TakeLeaving(slot);
      return absl::OkStatus();
    case pb::WorkerMessage::MESSAGE_NOT_SET:
      return Unexpected("a message of no known kind", "");
  }
  return absl::OkStatus();
}

absl::Status RemoteWorkerGroup::TakeHello(Roster::Slot slot, const pb::WorkerHello& message) {
  TESSERA_ASSIGN_OR_RETURN(const wire::WorkerHello hello, wire::FromProto(message));
  std::string name;
  {
    const MutexLock lock(mutex_);
    if (phase_ != Phase::kGathering) return Unexpected("a hello", "after Begin");
    TESSERA_RETURN_IF_ERROR(roster_.OnHello(slot, hello));
    name = roster_.Name(slot);
    changed_.NotifyAll();
  }
  spdlog::info("found {}", name);
  return absl::OkStatus();
}

absl::Status RemoteWorkerGroup::TakeHeartbeat(Roster::Slot slot, const pb::Heartbeat& message) {
  TESSERA_RETURN_IF_ERROR(wire::CheckRange("loading_total", message.loading_total(), 0, kWeightsMax));
  TESSERA_RETURN_IF_ERROR(wire::CheckRange("loading_done", message.loading_done(), 0, message.loading_total()));
  const MutexLock lock(mutex_);
  if (phase_ != Phase::kGathering) return absl::OkStatus();
  roster_.OnHeartbeat(slot, message.loading_done(), message.loading_total(), message.loaded());
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status RemoteWorkerGroup::PassOn(Roster::Slot slot, pb::StoreEntry& message) {
  TESSERA_RETURN_IF_ERROR(
      wire::CheckRange("key: bytes", static_cast<int64_t>(message.key().size()), 1, kStoreKeyBytesMax));
  TESSERA_RETURN_IF_ERROR(
      wire::CheckRange("value: bytes", static_cast<int64_t>(message.value().size()), 0, kStoreValueBytesMax));
  size_t sender = 0;
  {
    const MutexLock lock(mutex_);
    if (phase_ == Phase::kGathering) return Unexpected("a store entry", "before Begin");
    sender = static_cast<size_t>(links_.at(slot).rank);
  }
  for (size_t rank = 0; rank < by_rank_.size(); ++rank) {
    if (rank == sender) continue;
    pb::SchedulerMessage copy;
    *copy.mutable_store_entry() = message;
    by_rank_[rank]->Send(std::move(copy));
  }
  return absl::OkStatus();
}

absl::Status RemoteWorkerGroup::TakeReady(Roster::Slot slot) {
  const MutexLock lock(mutex_);
  Link& link = links_.at(slot);
  if (phase_ != Phase::kBeginning || link.is_ready) return Unexpected("Ready", "out of turn");
  link.is_ready = true;
  const auto num_ready =
      std::count_if(links_.begin(), links_.end(), [](const auto& entry) { return entry.second.is_ready; });
  if (num_ready == options_.roster.num_ranks) phase_ = Phase::kRunning;
  waited_ticks_ = 0;
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status RemoteWorkerGroup::TakeResult(Roster::Slot slot, const pb::StepResult& message) {
  {
    const MutexLock lock(mutex_);
    if (phase_ != Phase::kRunning) return Unexpected("a result", "before the group was ready");
  }
  absl::StatusOr<StepResult> result = wire::FromProto(message, limits_);
  if (!result.ok()) return wire::Within(absl::StrFormat("result of step %d: ", message.step()), result.status());
  const MutexLock lock(mutex_);
  if (!steps_.TryAdd(static_cast<size_t>(links_.at(slot).rank), *std::move(result))) {
    return Unexpected("a result", "that no plan asked for");
  }
  waited_ticks_ = 0;
  changed_.NotifyAll();
  return absl::OkStatus();
}

void RemoteWorkerGroup::TakeLeaving(Roster::Slot slot) {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(is_leaving_, true)) return;
    spdlog::info("{} is leaving", roster_.Name(slot));
  }
  if (events_.on_leaving) events_.on_leaving();
}

void RemoteWorkerGroup::OnClosed(Roster::Slot slot, const absl::Status& status) {
  Lose(slot, status.ok() ? absl::UnavailableError("ended the stream") : status);
  const MutexLock lock(mutex_);
  Link& link = links_.at(slot);
  link.is_open = false;
  if (phase_ == Phase::kGathering) roster_.OnClosed(slot);
  changed_.NotifyAll();
}

// While the group gathers, a worker alone can be lost: it is called again. Later it takes all others with it.
void RemoteWorkerGroup::Lose(Roster::Slot slot, const absl::Status& reason) {
  std::shared_ptr<Stream> stream;
  absl::Status named;
  bool breaks = false;
  bool is_news = false;
  {
    const MutexLock lock(mutex_);
    if (!broken_.ok()) return;
    stream = links_.at(slot).stream;
    named = absl::Status(reason.code(), absl::StrFormat("%s: %s", roster_.Name(slot), reason.message()));
    breaks = phase_ != Phase::kGathering;
    if (!breaks) is_news = roster_.SetError(slot, reason);
  }
  if (is_news) spdlog::warn("{}", std::string(named.message()));
  if (breaks) {
    Break(named);
  } else if (stream != nullptr) {
    stream->Close();
  }
}

void RemoteWorkerGroup::Break(const absl::Status& reason) {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    const MutexLock lock(mutex_);
    if (!broken_.ok()) return;
    broken_ = reason.ok() ? absl::CancelledError("the group was closed") : reason;
    streams = OpenStreams();
    changed_.NotifyAll();
  }
  for (const std::shared_ptr<Stream>& stream : streams) stream->Close();
  if (events_.on_broken) events_.on_broken();
}

void RemoteWorkerGroup::Close() {
  Break(absl::CancelledError("the group was closed"));
  std::map<Roster::Slot, Link> links;
  {
    const MutexLock lock(mutex_);
    const auto is_open = [](const auto& entry) { return entry.second.is_open; };
    while (std::any_of(links_.begin(), links_.end(), is_open)) changed_.Wait(mutex_);
    links.swap(links_);
  }
  by_rank_.clear();
}

void RemoteWorkerGroup::Tick() {
  std::vector<std::shared_ptr<Stream>> pinged;
  std::vector<Roster::Slot> silent;
  absl::Status overdue;
  {
    const MutexLock lock(mutex_);
    if (!broken_.ok()) return;
    roster_.Tick();
    ticks_to_address_ = std::max(0, ticks_to_address_ - 1);
    for (auto& [slot, link] : links_) {
      if (link.is_open && ++link.silent_ticks == options_.silence_ticks_max) silent.push_back(slot);
    }
    overdue = FirstOverdue();
    if (--ticks_to_ping_ <= 0) {
      ticks_to_ping_ = options_.ping_ticks;
      pinged = OpenStreams();
    }
    changed_.NotifyAll();
  }
  for (const Roster::Slot slot : silent) Lose(slot, absl::UnavailableError("nothing was heard of it for too long"));
  if (!overdue.ok()) Break(overdue);
  for (const std::shared_ptr<Stream>& stream : pinged) {
    if (!stream->IsIdle()) continue;  // it has not read the last one yet
    pb::SchedulerMessage message;
    message.mutable_ping();
    stream->Send(std::move(message));
  }
}

// A worker whose heart beats while it gets nowhere: the silence of a step, not of a process.
absl::Status RemoteWorkerGroup::FirstOverdue() {
  const bool waits = phase_ == Phase::kBeginning || steps_.count() > 0;
  if (phase_ == Phase::kGathering || !waits) return absl::OkStatus();
  const bool is_beginning = phase_ == Phase::kBeginning;
  if (++waited_ticks_ < (is_beginning ? options_.begin_ticks_max : options_.step_ticks_max)) return absl::OkStatus();
  for (const auto& [slot, link] : links_) {
    const bool is_late = is_beginning ? !link.is_ready : !steps_.HasResultOf(static_cast<size_t>(link.rank));
    if (!is_late) continue;
    return absl::DeadlineExceededError(absl::StrFormat("%s: %s for too long", roster_.Name(slot),
                                                       is_beginning ? "not ready after Begin" : "no result"));
  }
  return absl::OkStatus();
}

std::vector<std::shared_ptr<RemoteWorkerGroup::Stream>> RemoteWorkerGroup::OpenStreams() const {
  std::vector<std::shared_ptr<Stream>> streams;
  for (const auto& [slot, link] : links_) {
    if (link.is_open && link.stream != nullptr) streams.push_back(link.stream);
  }
  return streams;
}

std::string RemoteWorkerGroup::State() const {
  const MutexLock lock(mutex_);
  if (!broken_.ok()) return std::string(broken_.message());
  if (phase_ == Phase::kGathering) return roster_.Describe();
  if (phase_ == Phase::kBeginning) return "the workers find each other and run a first forward pass";
  return is_leaving_ ? "a worker is leaving" : "running";
}

void RemoteWorkerGroup::Submit(std::vector<StepPlan> plans) {
  TESSERA_CHECK(plans.size() == static_cast<size_t>(options_.roster.num_ranks));
  {
    const MutexLock lock(mutex_);
    if (!broken_.ok()) return;  // Receive says so
    TESSERA_CHECK(phase_ == Phase::kRunning);
    if (steps_.count() == 0) waited_ticks_ = 0;
    steps_.Begin();
  }
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    pb::SchedulerMessage message;
    wire::ToProto(plans[rank], *message.mutable_plan());
    by_rank_[rank]->Send(std::move(message));
  }
}

absl::StatusOr<std::vector<StepResult>> RemoteWorkerGroup::Receive() {
  const MutexLock lock(mutex_);
  TESSERA_CHECK(steps_.count() > 0 || !broken_.ok());
  while (broken_.ok() && !steps_.OldestIsDone()) changed_.Wait(mutex_);
  if (!broken_.ok()) return broken_;
  return steps_.TakeOldest();
}

}  // namespace tessera
