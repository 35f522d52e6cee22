#pragma once

#include <prometheus/collectable.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "scheduler/contract/engine_port.h"
#include "server/chat/chat_format.h"
#include "server/server_config.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {

// Everything a client can see, put together: HTTP and gRPC in front of one generation service. Thread-safe.
class Server {
 public:
  // All references must outlive it. The engine must deliver its tokens to token_sink(), and have stopped doing so
  // before this object is destroyed.
  static absl::StatusOr<std::unique_ptr<Server>> Create(const ServerConfig& config, const Tokenizer& tokenizer,
                                                        const ChatFormat& chat_format, EnginePort& engine,
                                                        const Clock& clock);
  ~Server();  // Stop without grace

  TokenSink& token_sink();

  // Shows `more` among the metrics; it must outlive this object. Before Start.
  void ShowMetrics(const prometheus::Collectable& more);

  // Where it listens, with the ports that it really has.
  struct Addresses {
    std::string http;
    std::string grpc;  // empty: no gRPC
  };
  // "host:port", port 0: any free one; an empty gRPC address: no gRPC. Call once.
  absl::StatusOr<Addresses> Start(const std::string& http_address, const std::string& grpc_address);

  // Not ready from now on; refuses new requests with a status that clients retry elsewhere.
  void Drain();

  // Drain; lets the running requests end until `grace` is over, fails the rest, and closes everything. After it nothing
  // runs any more. True if no request had to be failed.
  bool Stop(absl::Duration grace);

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace tessera
