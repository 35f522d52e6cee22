#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "scheduler/contract/engine_port.h"
#include "scheduler/contract/wire/client_stream.h"
#include "server/groups/model_pin.h"
#include "tessera/internal/v1/engine.grpc.pb.h"

namespace tessera {

struct RemoteEngineConfig {
  std::string group_name;                                // for logs
  std::string build;                                     // told to the scheduler
  std::string server_name;                               // likewise, for its log
  int32_t vocab_size = 0;                                // a group with another one is not used; 0: any
  absl::Duration backoff_min = absl::Milliseconds(100);  // between two attempts to connect; doubles up to the maximum
  absl::Duration backoff_max = absl::Seconds(1);
  absl::Duration silence_max = absl::Seconds(3);  // without a message, the stream is taken for broken
};

// A channel to a scheduler, made to notice a peer that is gone and to find one that is back, both within seconds.
// `peer_name`: what its certificate must name, if that is not the address's host; empty: the host.
std::shared_ptr<grpc::Channel> MakeGroupChannel(const std::string& address,
                                                const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                                                const std::string& peer_name);

// A worker group of another process. Connects for ever with backoff, in whatever order the processes start; while no
// stream is there it is not ready, and Submit says Unavailable.
// Submit checks what can be known here: fields, the group's limits, its queue by the last status and what was sent
// since. What the scheduler refuses all the same, and all open requests when the stream breaks, end through the sink
// with kError and the status: Unavailable and ResourceExhausted mean that another group may take them. The sink is
// called by one thread at a time, in step order, without a lock held. Thread-safe.
class RemoteEngine final : public EnginePort {
 public:
  // `pin`, `clock` and `sink` outlive it.
  RemoteEngine(RemoteEngineConfig config, std::shared_ptr<grpc::Channel> channel, ModelPin& pin, const Clock& clock,
               TokenSink& sink);
  ~RemoteEngine() override;  // ends what is open

  absl::Status Submit(Request request) override;
  void Cancel(RequestId id) override;
  EngineLimits limits() const override;  // as last told; zeros before that
  EngineStatus Status() const override;  // what was sent since the group's last word is added to what waits
  void Drain() override;                 // the group itself is not told: it has other servers

 private:
  using EngineMessage = internal::v1::EngineMessage;
  using Stream = wire::ClientStream<internal::v1::ServerMessage, EngineMessage>;
  struct Listener;
  struct Sent {
    int64_t number = 0;  // the how-maniest Submit of the stream
    int64_t num_tokens = 0;
  };
  using Command = std::variant<Request, RequestId>;  // a submission or a cancellation

  // The thread that opens streams and writes to them.
  void Run();
  std::shared_ptr<Stream> Connect();
  void Converse(Stream& stream);  // until the stream has ended; ends it if it must
  bool EndOpen();                 // true if the stream had been of use
  void Pause(absl::Duration duration);

  // gRPC's threads.
  void OnMessage(const EngineMessage& message);
  absl::Status Handle(const EngineMessage& message);
  absl::Status OnHello(const internal::v1::EngineHello& hello);
  absl::Status OnTokens(const internal::v1::TokenBatch& tokens);
  absl::Status OnRefused(const internal::v1::Refused& refused);
  absl::Status OnStatus(const internal::v1::EngineStatus& status);
  void OnClosed(const absl::Status& status);

  absl::Status CheckRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const RemoteEngineConfig config_;
  const std::unique_ptr<internal::v1::Engine::Stub> stub_;
  ModelPin& pin_;
  const Clock& clock_;
  TokenSink& sink_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool wakes_ ABSL_GUARDED_BY(mutex_) = false;  // there may be something to do for the thread
  bool stops_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_draining_ ABSL_GUARDED_BY(mutex_) = false;

  // Of the current stream.
  bool has_hello_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_status_ ABSL_GUARDED_BY(mutex_) = false;  // requests can be submitted
  absl::Duration silent_for_ ABSL_GUARDED_BY(mutex_);
  absl::Status cut_ ABSL_GUARDED_BY(mutex_);                    // why it must end; OK: it need not
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mutex_);  // it has ended
  int64_t num_submits_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Sent> unseen_ ABSL_GUARDED_BY(mutex_);                    // that status_ does not know of
  absl::flat_hash_map<RequestId, bool> open_ ABSL_GUARDED_BY(mutex_);  // value: the Cancel was queued
  std::vector<Command> commands_ ABSL_GUARDED_BY(mutex_);              // to be written

  // Of the group.
  std::string reason_ ABSL_GUARDED_BY(mutex_) = "not connected yet";  // why there is no stream
  uint64_t engine_number_ ABSL_GUARDED_BY(mutex_) = 0;
  int32_t queue_requests_max_ ABSL_GUARDED_BY(mutex_) = 0;
  EngineLimits limits_ ABSL_GUARDED_BY(mutex_);
  EngineStatus status_ ABSL_GUARDED_BY(mutex_);   // the last of the current engine
  EngineStatus earlier_ ABSL_GUARDED_BY(mutex_);  // counters of the engines before it
  std::thread thread_;
};

}  // namespace tessera
