#include "server/server.h"

#include <spdlog/spdlog.h>

#include <optional>
#include <utility>

#include "base/status_macros.h"
#include "server/grpc/grpc_server.h"
#include "server/http/http_server.h"
#include "server/http/router.h"
#include "server/http/routes.h"
#include "server/metrics/access_log.h"
#include "server/metrics/server_metrics.h"
#include "server/session/generation_service.h"
#include "server/session/work_pool.h"

namespace tessera {
namespace {

// For the last bytes of failed requests to reach their clients.
constexpr absl::Duration kFlushTime = absl::Seconds(1);

}  // namespace

// Destroyed from the last to the first: the transports, then the threads that work for them, then the service.
struct Server::Parts {
  Parts(const ServerConfig& config, const Tokenizer& tokenizer, const ChatFormat& chat_format, EnginePort& engine,
        const Clock& clock)
      : metrics(config.service.model_name, engine),
        access_log(config.access_log ? spdlog::default_logger() : nullptr, clock),
        work(config.num_prompt_threads, config.prompts_waiting_max),
        service(config.service, tokenizer, chat_format, engine, clock, metrics, work),
        router(ApiKeys(config.api_keys)),
        http(config.http, router, clock, metrics, access_log),
        grpc(config.grpc, service, work, access_log) {
    AddRoutes(
        {.service = service, .metrics = metrics, .work = work, .system_fingerprint = config.http.system_fingerprint},
        router);
  }
  ~Parts() { work.Stop(); }  // its jobs use the service

  ServerMetrics metrics;
  AccessLog access_log;
  WorkPool work;
  GenerationService service;
  Router router;
  HttpServer http;
  GrpcServer grpc;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Create(const ServerConfig& config, const Tokenizer& tokenizer,
                                                       const ChatFormat& chat_format, EnginePort& engine,
                                                       const Clock& clock) {
  ServerConfig complete = config;
  complete.grpc.api_keys = config.api_keys;
  complete.grpc.message_bytes_max = config.http.body_bytes_max;
  TESSERA_RETURN_IF_ERROR(complete.Validate());
  return std::unique_ptr<Server>(new Server(std::make_unique<Parts>(complete, tokenizer, chat_format, engine, clock)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() { Stop(absl::ZeroDuration()); }

TokenSink& Server::token_sink() { return parts_->service; }

void Server::ShowMetrics(const prometheus::Collectable& more) { parts_->metrics.Show(more); }

absl::StatusOr<Server::Addresses> Server::Start(const std::string& http_address, const std::string& grpc_address) {
  Addresses addresses;
  TESSERA_ASSIGN_OR_RETURN(addresses.http, parts_->http.Start(http_address));
  if (!grpc_address.empty()) {
    TESSERA_ASSIGN_OR_RETURN(addresses.grpc, parts_->grpc.Start(grpc_address));
  }
  return addresses;
}

void Server::Drain() { parts_->service.Drain(); }

bool Server::Stop(absl::Duration grace) {
  Drain();
  // New connections are still answered, with 503, until the running requests are done.
  const bool all_ended = parts_->service.AwaitIdle(grace);
  if (!all_ended) parts_->service.EndAll(absl::UnavailableError("the server is shutting down; try another one"));
  parts_->http.Drain();
  parts_->http.AwaitIdle(kFlushTime);
  parts_->http.Stop();
  parts_->grpc.Stop(kFlushTime);
  return all_ended;
}

}  // namespace tessera
