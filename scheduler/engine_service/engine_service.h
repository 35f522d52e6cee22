#pragma once

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "scheduler/contract/engine_port.h"
#include "tessera/internal/v1/engine.grpc.pb.h"

namespace tessera {

class ServerSession;

struct EngineServiceConfig {
  std::string build;
  std::function<std::string()> model_fingerprint = [] { return std::string(); };  // told to servers; empty: not known
  int32_t queue_requests_max = 0;  // told to servers, which refuse at once what would not fit; 0: not known
  absl::Duration status_interval = absl::Milliseconds(100);
  int64_t unread_bytes_max = 16 << 20;  // that a server may leave before its stream is cut
};

// Serves an engine to any number of servers over gRPC (engine.proto). Each step's tokens go out as one message for each
// server; a server that does not read is cut, and the others do not wait for it. When a stream ends, in whatever way,
// its open requests are cancelled. While there is no engine, or its limits are not known yet because its workers have
// never been ready, streams are refused with the reason.
// Thread-safe. The engine's thread only hands its batches over: a thread of this object makes and sends the messages.
class EngineService final : public TokenSink {
 public:
  // `clock` must outlive it.
  EngineService(EngineServiceConfig config, const Clock& clock);
  ~EngineService() override;  // Detach, Stop

  // Listens on "host:port" (port 0: any free one). Returns the bound address. Call once. The standard gRPC health
  // service says SERVING exactly while the engine is ready.
  absl::StatusOr<std::string> Start(const std::string& address, std::shared_ptr<grpc::ServerCredentials> credentials);

  // The engine to serve; its tokens must go to this object. Requires: none is attached.
  void Attach(EnginePort& engine);

  // Sends what the engine has delivered so far, then ends every stream with Unavailable and `reason`. The engine is not
  // called any more when this returns, and what it still delivers is dropped. Harmless without an engine.
  void Detach(const std::string& reason);

  // Ends what is left and closes the port.
  void Stop();

  void OnTokens(TokenBatch batch) override;

 private:
  friend class ServerSession;
  class Rpc;
  struct Route {
    std::shared_ptr<ServerSession> session;
    RequestId remote;  // its id there
  };
  struct Outgoing {
    std::shared_ptr<ServerSession> session;
    internal::v1::EngineMessage message;
  };

  // For sessions, on gRPC's threads.
  grpc::ServerBidiReactor<internal::v1::ServerMessage, internal::v1::EngineMessage>* Open(
      grpc::CallbackServerContext* context);
  void Greet(const std::shared_ptr<ServerSession>& session);
  absl::Status Submit(const std::shared_ptr<ServerSession>& session, const internal::v1::Request& submit);
  void Cancel(ServerSession& session, RequestId remote);
  void Close(ServerSession& session);

  // The sending thread. What it collects under the lock is sent without it.
  void Run();
  std::vector<TokenBatch> TakeBatches();
  void SendOnce(std::vector<TokenBatch> batches);
  void CollectTokens(TokenBatch batch, std::vector<Outgoing>& out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CollectStatuses(std::vector<Outgoing>& out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  internal::v1::EngineMessage StatusFor(const ServerSession& session, const EngineStatus& status) const;
  std::vector<std::shared_ptr<ServerSession>> TakeSessions() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const EngineServiceConfig config_;
  const Clock& clock_;
  const uint64_t number_;  // of this scheduler process
  const std::unique_ptr<Rpc> rpc_;

  // Taken before queue_mutex_. The engine is called under it, so that Detach can promise that no call is under way.
  mutable Mutex mutex_;
  CondVar ended_;
  std::unique_ptr<grpc::Server> server_ ABSL_GUARDED_BY(mutex_);
  EnginePort* engine_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::string reason_ ABSL_GUARDED_BY(mutex_) = "starting";  // why there is no engine
  EngineLimits limits_ ABSL_GUARDED_BY(mutex_);              // that the sessions were told
  std::string end_reason_ ABSL_GUARDED_BY(mutex_);  // not empty: the sending thread is to end all sessions for it
  std::vector<std::shared_ptr<ServerSession>> sessions_ ABSL_GUARDED_BY(mutex_);
  int64_t next_request_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::flat_hash_map<RequestId, Route> routes_ ABSL_GUARDED_BY(mutex_);  // by the engine's id

  Mutex queue_mutex_;
  CondVar queue_changed_;
  std::vector<TokenBatch> queue_ ABSL_GUARDED_BY(queue_mutex_);
  bool wakes_ ABSL_GUARDED_BY(queue_mutex_) = false;
  bool stops_ ABSL_GUARDED_BY(queue_mutex_) = false;
  absl::Time next_status_ = absl::InfinitePast();  // the sending thread's
  std::optional<bool> was_ready_;                  // likewise
  std::thread sender_;
};

}  // namespace tessera
