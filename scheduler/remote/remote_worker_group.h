#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "scheduler/contract/steps_under_way.h"
#include "scheduler/contract/wire/client_stream.h"
#include "scheduler/contract/wire/stream_listener.h"
#include "scheduler/remote/group_connection.h"
#include "scheduler/remote/roster.h"
#include "tessera/internal/v1/worker.grpc.pb.h"

namespace tessera {

namespace worker_pb = ::tessera::internal::v1;

// Times are in ticks (GroupConnection::Tick).
struct RemoteGroupOptions {
  RosterConfig roster;
  std::string build;
  int32_t silence_ticks_max = 30;  // nothing heard of a worker for so long: it is lost
  int32_t ping_ticks = 5;
  int32_t address_ticks = 10;      // between two looks for addresses while some are missing
  int32_t begin_ticks_max = 1200;  // from Begin to the last worker's Ready
  int32_t step_ticks_max = 1200;   // without any result while a step is under way
};

// The addresses of the workers as of now; by rank if RosterConfig::order_is_rank.
using FindWorkers = std::function<absl::StatusOr<std::vector<std::string>>()>;
using OpenChannel = std::function<std::shared_ptr<grpc::Channel>(const std::string& address)>;

// One epoch of a group of worker processes: a stream to each of them. Calls them until all are there, begins, passes
// the entries of their rendezvous on, then sends plans and collects results. A stream that breaks, a worker that fails
// or is silent ends it for good.
class RemoteWorkerGroup final : public GroupConnection {
 public:
  RemoteWorkerGroup(const RemoteGroupOptions& options, FindWorkers find_workers, OpenChannel open_channel,
                    GroupEvents events);
  ~RemoteWorkerGroup() override;  // Close

  absl::Status Connect() override;
  void Break(const absl::Status& reason) override;
  void Close() override;
  void Tick() override;
  std::string State() const override;

  std::string model_fingerprint() const override { return model_fingerprint_; }
  const WorkerLimits& limits() const override { return limits_; }
  void Submit(std::vector<StepPlan> plans) override;
  absl::StatusOr<std::vector<StepResult>> Receive() override;

 private:
  using Stream = wire::ClientStream<worker_pb::SchedulerMessage, worker_pb::WorkerMessage>;
  class Listener;

  enum class Phase { kGathering, kBeginning, kRunning };

  // One call of one worker. Channel and stream go on a thread of ours (ClientStream::Open says why).
  struct Link {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<worker_pb::Worker::Stub> stub;
    std::shared_ptr<Stream> stream;  // null for a moment at the beginning
    bool is_open = false;            // until OnClosed
    bool is_ready = false;
    int32_t rank = -1;  // since Begin
    int32_t silent_ticks = 0;
  };

  absl::Status Gather();
  void LookForAddresses();
  void Call(const Roster::Call& call);
  absl::Status Begin();
  void OnMessage(Roster::Slot slot, worker_pb::WorkerMessage& message);
  absl::Status Handle(Roster::Slot slot, worker_pb::WorkerMessage& message);
  absl::Status TakeHello(Roster::Slot slot, const worker_pb::WorkerHello& message);
  absl::Status TakeHeartbeat(Roster::Slot slot, const worker_pb::Heartbeat& message);
  absl::Status PassOn(Roster::Slot slot, worker_pb::StoreEntry& message);
  absl::Status TakeReady(Roster::Slot slot);
  absl::Status TakeResult(Roster::Slot slot, const worker_pb::StepResult& message);
  void TakeLeaving(Roster::Slot slot);
  void OnClosed(Roster::Slot slot, const absl::Status& status);
  void Lose(Roster::Slot slot, const absl::Status& reason);
  // Streams to be written to or closed with no lock held.
  std::vector<std::shared_ptr<Stream>> OpenStreams() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status FirstOverdue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const RemoteGroupOptions options_;
  const FindWorkers find_workers_;
  const OpenChannel open_channel_;
  const GroupEvents events_;
  WorkerLimits limits_;                           // since Begin; no result is read before
  std::string model_fingerprint_;                 // since Begin
  std::vector<std::shared_ptr<Stream>> by_rank_;  // since Begin

  mutable Mutex mutex_;
  CondVar changed_;  // anything below
  Phase phase_ ABSL_GUARDED_BY(mutex_) = Phase::kGathering;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
  Roster roster_ ABSL_GUARDED_BY(mutex_);
  std::map<Roster::Slot, Link> links_ ABSL_GUARDED_BY(mutex_);
  int32_t ticks_to_address_ ABSL_GUARDED_BY(mutex_) = 0;
  int32_t ticks_to_ping_ ABSL_GUARDED_BY(mutex_) = 0;
  int32_t waited_ticks_ ABSL_GUARDED_BY(mutex_) = 0;  // for Ready, or for the next result of a step under way
  bool is_leaving_ ABSL_GUARDED_BY(mutex_) = false;
  StepsUnderWay steps_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tessera
