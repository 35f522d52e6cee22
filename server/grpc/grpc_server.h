#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "server/grpc/grpc_config.h"
#include "server/grpc/reflection_service.h"
#include "server/grpc/tessera_service.h"

namespace tessera {

// The gRPC end of the server: the public API, grpc.health.v1 and reflection. Health says SERVING exactly while the
// generation service would take a request. Thread-safe.
class GrpcServer {
 public:
  // All but `config` must outlive it.
  GrpcServer(const GrpcConfig& config, GenerationService& service, WorkPool& work, const AccessLog& access_log);
  ~GrpcServer();  // Stop

  // Listens on "host:port" (port 0: any free one) and serves. Returns the bound address. Call once.
  absl::StatusOr<std::string> Start(const std::string& address);

  // Takes no new call, lets the running ones end until `grace` is over, then cancels them.
  void Stop(absl::Duration grace = absl::ZeroDuration());

 private:
  void WatchReadiness();

  const GrpcConfig config_;
  GenerationService& service_;
  TesseraService tessera_;
  ReflectionService reflection_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  CondVar stopping_;
  bool stops_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watcher_;
};

}  // namespace tessera
