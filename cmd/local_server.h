#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "cmd/engine.h"
#include "server/server.h"

namespace tessera {

// What the command line says of a server in one process with its engine.
struct LocalServerOptions {
  EngineOptions engine;
  std::string http_address = "127.0.0.1:0";
  std::string grpc_address;  // empty: no gRPC
  std::string model_name;    // empty: the name of the checkpoint's folder
  std::vector<std::string> api_keys;
  bool access_log = true;   // a line of the log for each request that is over
  std::string body_memory;  // of all HTTP request bodies held at once, such as "256MiB"; empty: the server's default
};

// Server, scheduler and worker in one process.
class LocalServer {
 public:
  static absl::StatusOr<std::unique_ptr<LocalServer>> Start(const std::string& folder,
                                                            const LocalServerOptions& options);
  ~LocalServer();  // Stop without grace

  const std::string& http_address() const { return addresses_.http; }
  const std::string& grpc_address() const { return addresses_.grpc; }  // empty: no gRPC

  // Takes no new request, lets the running ones end until `grace` is over, then closes everything. True if no request
  // had to be failed.
  bool Stop(absl::Duration grace);

 private:
  LocalServer() = default;

  RealClock clock_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Server> server_;
  Server::Addresses addresses_;
};

}  // namespace tessera
