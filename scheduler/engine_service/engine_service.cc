#include "scheduler/engine_service/engine_service.h"

#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "scheduler/contract/wire/engine_proto.h"
#include "scheduler/engine_service/server_session.h"

namespace tessera {
namespace {

namespace pb = internal::v1;

// A server that is gone without a word is noticed within their sum.
constexpr int kKeepAliveTimeMs = 1000;
constexpr int kKeepAliveTimeoutMs = 2000;
// For the last messages of ended streams to reach servers that read.
constexpr std::chrono::seconds kFlushTime(1);

uint64_t RandomNumber() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

}  // namespace

class EngineService::Rpc final : public pb::Engine::CallbackService {
 public:
  explicit Rpc(EngineService& service) : service_(service) {}
  grpc::ServerBidiReactor<pb::ServerMessage, pb::EngineMessage>* Connect(
      grpc::CallbackServerContext* context) override {
    return service_.Open(context);
  }

 private:
  EngineService& service_;
};

EngineService::EngineService(EngineServiceConfig config, const Clock& clock)
    : config_(std::move(config)),
      clock_(clock),
      number_(RandomNumber()),
      rpc_(std::make_unique<Rpc>(*this)),
      sender_([this] { Run(); }) {}

EngineService::~EngineService() {
  Detach("the scheduler stops");
  Stop();
  {
    const MutexLock lock(queue_mutex_);
    stops_ = true;
    queue_changed_.NotifyAll();
  }
  sender_.join();
}

absl::StatusOr<std::string> EngineService::Start(const std::string& address,
                                                 std::shared_ptr<grpc::ServerCredentials> credentials) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, std::move(credentials), &port);
  builder.SetMaxReceiveMessageSize(wire::kMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);  // servers ping too
  builder.RegisterService(rpc_.get());
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrFormat("cannot listen on %s for servers", address));
  }
  server->GetHealthCheckService()->SetServingStatus(false);
  const MutexLock lock(mutex_);
  server_ = std::move(server);
  return absl::StrFormat("%s:%d", address.substr(0, address.rfind(':')), port);
}

void EngineService::Attach(EnginePort& engine) {
  const MutexLock lock(mutex_);
  TESSERA_CHECK(engine_ == nullptr && end_reason_.empty());
  engine_ = &engine;
}

void EngineService::Detach(const std::string& reason) {
  const MutexLock lock(mutex_);
  if (engine_ == nullptr) return;
  engine_ = nullptr;
  reason_ = end_reason_ = reason.empty() ? "stopped" : reason;
  {
    const MutexLock queue_lock(queue_mutex_);
    wakes_ = true;
    queue_changed_.NotifyAll();
  }
  while (!end_reason_.empty()) ended_.Wait(mutex_);
}

void EngineService::Stop() {
  std::unique_ptr<grpc::Server> server;
  {
    const MutexLock lock(mutex_);
    server = std::move(server_);
  }
  if (server == nullptr) return;
  server->Shutdown(std::chrono::system_clock::now() + kFlushTime);
  server->Wait();
}

void EngineService::OnTokens(TokenBatch batch) {
  const MutexLock lock(queue_mutex_);
  queue_.push_back(std::move(batch));
  queue_changed_.NotifyAll();
}

// ---- Sessions ----

grpc::ServerBidiReactor<pb::ServerMessage, pb::EngineMessage>* EngineService::Open(
    grpc::CallbackServerContext* context) {
  const auto stream = ServerSession::Stream::Make(context, config_.unread_bytes_max);
  const auto session = std::make_shared<ServerSession>(*this, stream);
  std::string refusal;
  {
    const MutexLock lock(mutex_);
    if (engine_ == nullptr) {
      refusal = reason_;
    } else if (sessions_.empty()) {
      limits_ = engine_->limits();
    }
    if (refusal.empty() && limits_.context_tokens_max == 0) refusal = "not ready: " + engine_->Status().reason;
    if (refusal.empty()) sessions_.push_back(session);
  }
  if (refusal.empty()) {
    stream->Listen(session);
  } else {
    stream->Finish(absl::UnavailableError(refusal));
  }
  return stream->reactor();
}

void EngineService::Greet(const std::shared_ptr<ServerSession>& session) {
  pb::EngineMessage greeting;
  pb::EngineMessage status;
  {
    const MutexLock lock(mutex_);
    if (engine_ == nullptr || session->is_closed) return;  // the stream's end is on its way
    pb::EngineHello& hello = *greeting.mutable_hello();
    hello.set_protocol(wire::kEngineProtocolVersion);
    hello.set_build(config_.build);
    hello.set_model_fingerprint(config_.model_fingerprint());
    hello.set_engine(number_);
    wire::ToProto(limits_, *hello.mutable_limits());
    hello.set_queue_requests_max(config_.queue_requests_max);
    status = StatusFor(*session, engine_->Status());
  }
  session->stream().Send(std::move(greeting));
  session->stream().Send(std::move(status));
  const MutexLock lock(mutex_);
  session->is_greeted = true;
}

absl::Status EngineService::Submit(const std::shared_ptr<ServerSession>& session, const pb::Request& submit) {
  int32_t vocab_size = 0;
  {
    const MutexLock lock(mutex_);
    vocab_size = limits_.vocab_size;
  }
  // Not under the lock: prompts can be long.
  absl::StatusOr<Request> request = wire::FromProto(submit, vocab_size, clock_.Now());
  const MutexLock lock(mutex_);
  ++session->num_submits;
  TESSERA_RETURN_IF_ERROR(request.status());
  if (engine_ == nullptr || session->is_closed) return absl::UnavailableError(reason_);
  const RequestId remote = request->id;
  const RequestId local{next_request_++};
  if (!session->open.emplace(remote, local).second) {
    return absl::AlreadyExistsError(absl::StrFormat("id: got %d, which is open on this stream", remote.value));
  }
  routes_.emplace(local, Route{.session = session, .remote = remote});
  request->id = local;
  absl::Status status = engine_->Submit(*std::move(request));
  if (!status.ok()) {
    routes_.erase(local);
    session->open.erase(remote);
  }
  return status;
}

void EngineService::Cancel(ServerSession& session, RequestId remote) {
  const MutexLock lock(mutex_);
  const auto found = session.open.find(remote);
  if (found != session.open.end() && engine_ != nullptr) engine_->Cancel(found->second);
}

void EngineService::Close(ServerSession& session) {
  const MutexLock lock(mutex_);
  if (std::exchange(session.is_closed, true)) return;
  if (engine_ != nullptr) {
    for (const auto& [remote, local] : session.open) engine_->Cancel(local);
  }
  std::erase_if(sessions_, [&](const auto& other) { return other.get() == &session; });
}

// ---- The sending thread ----

void EngineService::Run() {
  while (true) {
    std::vector<TokenBatch> batches = TakeBatches();
    {
      const MutexLock lock(queue_mutex_);
      if (stops_) return;
    }
    SendOnce(std::move(batches));
  }
}

std::vector<TokenBatch> EngineService::TakeBatches() {
  const MutexLock lock(queue_mutex_);
  while (queue_.empty() && !stops_ && !wakes_) {
    if (!queue_changed_.WaitFor(queue_mutex_, config_.status_interval)) break;
  }
  wakes_ = false;
  return std::exchange(queue_, {});
}

void EngineService::SendOnce(std::vector<TokenBatch> batches) {
  std::vector<Outgoing> out;
  std::vector<std::shared_ptr<ServerSession>> ended;
  std::string reason;
  {
    const MutexLock lock(mutex_);
    for (TokenBatch& batch : batches) CollectTokens(std::move(batch), out);
    if (end_reason_.empty() && clock_.Now() >= next_status_) CollectStatuses(out);
    reason = end_reason_;
    if (!reason.empty()) ended = TakeSessions();
  }
  for (Outgoing& one : out) one.session->stream().Send(std::move(one.message));
  if (reason.empty()) return;
  for (const auto& session : ended) session->stream().Finish(absl::UnavailableError(reason));
  const MutexLock lock(mutex_);
  end_reason_.clear();
  ended_.NotifyAll();
}

void EngineService::CollectTokens(TokenBatch batch, std::vector<Outgoing>& out) {
  absl::flat_hash_map<ServerSession*, std::pair<std::shared_ptr<ServerSession>, TokenBatch>> by_session;
  for (RequestTokens& tokens : batch.requests) {
    const auto found = routes_.find(tokens.request);
    if (found == routes_.end()) continue;
    const std::shared_ptr<ServerSession> session = found->second.session;
    tokens.request = found->second.remote;
    if (tokens.finish.has_value()) {
      session->open.erase(tokens.request);
      routes_.erase(found);
    }
    if (session->is_closed) continue;
    auto& [owner, mine] = by_session[session.get()];
    owner = session;
    mine.requests.push_back(std::move(tokens));
  }
  const absl::Time now = clock_.Now();
  for (auto& [key, entry] : by_session) {
    Outgoing& one = out.emplace_back();
    one.session = std::move(entry.first);
    wire::ToProto(entry.second, now, *one.message.mutable_tokens());
  }
}

pb::EngineMessage EngineService::StatusFor(const ServerSession& session, const EngineStatus& status) const {
  pb::EngineMessage message;
  wire::ToProto(status, clock_.Now(), *message.mutable_status());
  message.mutable_status()->set_num_submits_seen(session.num_submits);
  return message;
}

void EngineService::CollectStatuses(std::vector<Outgoing>& out) {
  next_status_ = clock_.Now() + config_.status_interval;
  bool is_ready = false;
  if (engine_ != nullptr) {
    const EngineStatus status = engine_->Status();
    is_ready = status.ready;
    for (const auto& session : sessions_) {
      if (session->is_greeted) out.push_back({session, StatusFor(*session, status)});
    }
    if (!sessions_.empty() && engine_->limits() != limits_) end_reason_ = "the group's limits have changed";
  }
  if (was_ready_ == is_ready || server_ == nullptr) return;
  server_->GetHealthCheckService()->SetServingStatus(is_ready);
  was_ready_ = is_ready;
}

std::vector<std::shared_ptr<ServerSession>> EngineService::TakeSessions() {
  for (const auto& session : sessions_) {
    session->is_closed = true;
    if (engine_ == nullptr) continue;
    for (const auto& [remote, local] : session->open) engine_->Cancel(local);
  }
  if (engine_ == nullptr) routes_.clear();  // nothing more comes for them
  return std::exchange(sessions_, {});
}

}  // namespace tessera
