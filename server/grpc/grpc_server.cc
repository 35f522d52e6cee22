#include "server/grpc/grpc_server.h"

#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "grpc/health/v1/health.pb.h"

namespace tessera {
namespace {

constexpr absl::Duration kReadinessInterval = absl::Milliseconds(50);

std::vector<std::string> ServiceNames() {
  // Asked of its descriptor, so that the program has the descriptor: gRPC serves health without it.
  const std::string health = grpc::health::v1::HealthCheckRequest::descriptor()->file()->service(0)->full_name();
  return {v1::Tessera::service_full_name(), health, grpc::reflection::v1alpha::ServerReflection::service_full_name()};
}

// Of the server as a whole ("") and of its API.
void SetServing(grpc::Server& server, bool is_serving) {
  server.GetHealthCheckService()->SetServingStatus(is_serving);
  server.GetHealthCheckService()->SetServingStatus(v1::Tessera::service_full_name(), is_serving);
}

}  // namespace

GrpcServer::GrpcServer(const GrpcConfig& config, GenerationService& service, WorkPool& work,
                       const AccessLog& access_log)
    : config_(config),
      service_(service),
      tessera_(service, work, access_log, ApiKeys(config.api_keys)),
      reflection_(ServiceNames(), ApiKeys(config.api_keys)) {}

GrpcServer::~GrpcServer() { Stop(); }

absl::StatusOr<std::string> GrpcServer::Start(const std::string& address) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, config_.credentials, &port);
  builder.SetMaxReceiveMessageSize(static_cast<int>(config_.message_bytes_max));
  // Two servers on one port would share its clients by chance.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&tessera_);
  builder.RegisterService(&reflection_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrFormat("cannot listen on %s for gRPC", address));
  }
  SetServing(*server_, false);
  watcher_ = std::thread([this] { WatchReadiness(); });
  return absl::StrFormat("%s:%d", address.substr(0, address.rfind(':')), port);
}

void GrpcServer::WatchReadiness() {
  bool was_ready = false;
  MutexLock lock(mutex_);
  while (!stops_) {
    const bool is_ready = service_.Readiness().ok();
    if (is_ready != was_ready) SetServing(*server_, is_ready);
    was_ready = is_ready;
    stopping_.WaitFor(mutex_, kReadinessInterval);
  }
}

void GrpcServer::Stop(absl::Duration grace) {
  {
    MutexLock lock(mutex_);
    stops_ = true;
    stopping_.NotifyAll();
  }
  if (watcher_.joinable()) watcher_.join();
  if (server_ == nullptr) return;
  SetServing(*server_, false);
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(grace));
  server_->Wait();
  server_.reset();
}

}  // namespace tessera
