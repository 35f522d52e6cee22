#pragma once

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"
#include "scheduler/contract/wire/server_stream.h"
#include "scheduler/engine_service/engine_service.h"

namespace tessera {

// One server's stream, as the engine service sees it: hello, submissions and cancellations in, everything else out.
class ServerSession final : public wire::StreamListener<internal::v1::ServerMessage>,
                            public std::enable_shared_from_this<ServerSession> {
 public:
  using Stream = wire::ServerStream<internal::v1::ServerMessage, internal::v1::EngineMessage>;

  // `service` outlives the stream, because stopping it waits for every stream's end.
  ServerSession(EngineService& service, std::shared_ptr<Stream> stream)
      : service_(service), stream_(std::move(stream)) {}

  Stream& stream() { return *stream_; }

  void OnMessage(internal::v1::ServerMessage& message) override;
  void OnClosed(const absl::Status& status) override;

  // The service's, under its lock.
  absl::flat_hash_map<RequestId, RequestId> open;  // the server's id → the engine's
  int64_t num_submits = 0;
  bool is_greeted = false;  // hellos were exchanged: it gets statuses
  bool is_closed = false;   // its requests are cancelled; no more are taken

 private:
  EngineService& service_;
  const std::shared_ptr<Stream> stream_;
  bool has_hello_ = false;
  bool is_refused_ = false;
};

}  // namespace tessera
