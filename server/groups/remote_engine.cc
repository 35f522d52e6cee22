#include "server/groups/remote_engine.h"

#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "scheduler/contract/status_totals.h"
#include "scheduler/contract/wire/engine_proto.h"
#include "scheduler/contract/wire/status_proto.h"
#include "server/groups/engine_figures.h"

namespace tessera {
namespace {

namespace pb = internal::v1;

// How often silence is looked for.
constexpr absl::Duration kWatchInterval = absl::Milliseconds(100);
constexpr int kKeepAliveTimeMs = 1000;
constexpr int kKeepAliveTimeoutMs = 2000;
constexpr int kReconnectMinMs = 100;
constexpr int kReconnectMaxMs = 1000;

int64_t NumTokens(const Request& request) {
  return static_cast<int64_t>(request.prompt.size() + request.generated.size());
}

RequestTokens Failed(RequestId id, absl::Status status) {
  return {.request = id, .finish = FinishReason::kError, .status = std::move(status)};
}

}  // namespace

// Outlives the stream, not the engine: the engine's thread ends only after the stream has.
struct RemoteEngine::Listener final : public wire::StreamListener<EngineMessage> {
  explicit Listener(RemoteEngine& owner) : engine(owner) {}
  void OnMessage(EngineMessage& message) override { engine.OnMessage(message); }
  void OnClosed(const absl::Status& status) override { engine.OnClosed(status); }
  RemoteEngine& engine;
};

std::shared_ptr<grpc::Channel> MakeGroupChannel(const std::string& address,
                                                const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                                                const std::string& peer_name) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(wire::kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // no connection is shared with another channel
  if (!peer_name.empty()) arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, peer_name);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

RemoteEngine::RemoteEngine(RemoteEngineConfig config, std::shared_ptr<grpc::Channel> channel, ModelPin& pin,
                           const Clock& clock, TokenSink& sink)
    : config_(std::move(config)),
      stub_(pb::Engine::NewStub(std::move(channel))),
      pin_(pin),
      clock_(clock),
      sink_(sink),
      thread_([this] { Run(); }) {}

RemoteEngine::~RemoteEngine() {
  {
    const MutexLock lock(mutex_);
    stops_ = true;
    Wake();
  }
  thread_.join();
}

void RemoteEngine::Wake() {
  wakes_ = true;
  changed_.NotifyAll();
}

// ---- EnginePort ----

absl::Status RemoteEngine::CheckRoom() const {
  if (is_draining_) return absl::UnavailableError("draining: no new requests are taken");
  if (!has_status_) return absl::UnavailableError(reason_);
  if (!status_.ready) return absl::UnavailableError(status_.reason);
  const int64_t num_waiting = status_.num_waiting + static_cast<int64_t>(unseen_.size());
  if (queue_requests_max_ == 0 || num_waiting < queue_requests_max_) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrFormat("the queue is full: %d requests wait, the most is %d; try again "
                      "later",
                      num_waiting, queue_requests_max_));
}

absl::Status RemoteEngine::Submit(Request request) {
  const EngineLimits known = limits();
  const MutexLock lock(mutex_);
  TESSERA_RETURN_IF_ERROR(CheckRoom());
  TESSERA_RETURN_IF_ERROR(CheckRequest(request, known));
  if (!open_.try_emplace(request.id, false).second) {
    return absl::AlreadyExistsError(absl::StrFormat("id: got %d, which is open", request.id.value));
  }
  unseen_.push_back({++num_submits_, NumTokens(request)});
  commands_.push_back(std::move(request));
  Wake();
  return absl::OkStatus();
}

void RemoteEngine::Cancel(RequestId id) {
  const MutexLock lock(mutex_);
  const auto found = open_.find(id);
  if (found == open_.end() || std::exchange(found->second, true)) return;
  commands_.push_back(id);
  Wake();
}

EngineLimits RemoteEngine::limits() const {
  const MutexLock lock(mutex_);
  return limits_;
}

EngineStatus RemoteEngine::Status() const {
  const MutexLock lock(mutex_);
  EngineStatus status = status_;
  AddCounters(earlier_, status);
  if (!has_status_) {
    status.ready = false;
    status.reason = reason_;
  }
  if (is_draining_ && status.ready) {
    status.ready = false;
    status.reason = "draining";
  }
  status.num_waiting += static_cast<int32_t>(unseen_.size());
  for (const Sent& sent : unseen_) status.num_waiting_tokens += sent.num_tokens;
  return status;
}

void RemoteEngine::Drain() {
  const MutexLock lock(mutex_);
  is_draining_ = true;
}

// ---- The thread that opens streams ----

void RemoteEngine::Run() {
  absl::Duration backoff = config_.backoff_min;
  while (true) {
    Converse(*Connect());
    backoff = EndOpen() ? config_.backoff_min : std::min(backoff * 2, config_.backoff_max);
    Pause(backoff);
    const MutexLock lock(mutex_);
    if (stops_) return;
  }
}

std::shared_ptr<RemoteEngine::Stream> RemoteEngine::Connect() {
  {
    const MutexLock lock(mutex_);
    has_hello_ = false;
    silent_for_ = absl::ZeroDuration();
    cut_ = absl::OkStatus();
    closed_.reset();
    num_submits_ = 0;
  }
  const auto stream = Stream::Open(std::make_shared<Listener>(*this),
                                   [&](auto* context, auto* reactor) { stub_->async()->Connect(context, reactor); });
  pb::ServerMessage message;
  pb::ServerHello& hello = *message.mutable_hello();
  hello.set_protocol(wire::kEngineProtocolVersion);
  hello.set_build(config_.build);
  hello.set_name(config_.server_name);
  stream->Send(std::move(message));
  return stream;
}

void RemoteEngine::Converse(Stream& stream) {
  bool is_cut = false;
  absl::Time last_look = clock_.Now();
  while (true) {
    std::vector<Command> commands;
    bool must_cut = false;
    {
      const MutexLock lock(mutex_);
      if (!wakes_) changed_.WaitFor(mutex_, kWatchInterval);
      wakes_ = false;
      if (closed_.has_value()) return;
      if (cut_.ok() && stops_) cut_ = absl::UnavailableError("the server stops");
      // In short steps: after this process was stopped for a while, what the group said meanwhile is still to be read.
      const absl::Time now = clock_.Now();
      silent_for_ += std::min(now - last_look, 2 * kWatchInterval);
      last_look = now;
      if (cut_.ok() && silent_for_ > config_.silence_max) {
        cut_ = absl::UnavailableError(
            absl::StrFormat("nothing was heard of it for %s", absl::FormatDuration(config_.silence_max)));
      }
      must_cut = !cut_.ok();
      commands.swap(commands_);
    }
    if (must_cut) {
      if (!std::exchange(is_cut, true)) stream.Close();
      continue;
    }
    for (const Command& command : commands) {
      pb::ServerMessage message;
      if (const auto* request = std::get_if<Request>(&command)) {
        wire::ToProto(*request, clock_.Now(), *message.mutable_submit());
      } else {
        message.mutable_cancel()->set_request(std::get<RequestId>(command).value);
      }
      stream.Send(std::move(message));
    }
  }
}

bool RemoteEngine::EndOpen() {
  TokenBatch ended;
  bool was_of_use = false;
  {
    const MutexLock lock(mutex_);
    was_of_use = std::exchange(has_status_, false);  // from here on Submit refuses
    const absl::Status& cause = cut_.ok() ? *closed_ : cut_;
    const std::string reason(cause.ok() ? "it ended the stream" : cause.message());
    if (reason != std::exchange(reason_, reason)) spdlog::warn("group {}: {}", config_.group_name, reason);
    status_.num_waiting = status_.num_running = 0;
    status_.num_blocks_used = status_.num_waiting_tokens = 0;
    const absl::Status status =
        absl::UnavailableError(absl::StrFormat("the worker group %s is gone: %s", config_.group_name, reason));
    for (const auto& [id, is_cancelled] : open_) ended.requests.push_back(Failed(id, status));
    open_.clear();
    commands_.clear();
    unseen_.clear();
  }
  std::sort(ended.requests.begin(), ended.requests.end(),
            [](const RequestTokens& a, const RequestTokens& b) { return a.request < b.request; });
  if (!ended.requests.empty()) sink_.OnTokens(std::move(ended));
  return was_of_use;
}

void RemoteEngine::Pause(absl::Duration duration) {
  const absl::Time end = absl::Now() + duration;
  const MutexLock lock(mutex_);
  while (!stops_ && absl::Now() < end) changed_.WaitFor(mutex_, end - absl::Now());
}

// ---- gRPC's threads ----

void RemoteEngine::OnClosed(const absl::Status& status) {
  const MutexLock lock(mutex_);
  closed_ = status;
  Wake();
}

void RemoteEngine::OnMessage(const EngineMessage& message) {
  {
    const MutexLock lock(mutex_);
    if (!cut_.ok()) return;
    silent_for_ = absl::ZeroDuration();
  }
  const absl::Status status = Handle(message);
  if (status.ok()) return;
  const MutexLock lock(mutex_);
  cut_ = status;
  Wake();
}

absl::Status RemoteEngine::Handle(const EngineMessage& message) {
  bool has_hello = false;
  {
    const MutexLock lock(mutex_);
    has_hello = has_hello_;
  }
  if (message.has_hello() == has_hello) return absl::InvalidArgumentError("its stream does not begin with one hello");
  if (message.has_hello()) return OnHello(message.hello());
  if (message.has_tokens()) return OnTokens(message.tokens());
  if (message.has_refused()) return OnRefused(message.refused());
  if (message.has_status()) return OnStatus(message.status());
  return absl::OkStatus();  // of a newer peer
}

absl::Status RemoteEngine::OnHello(const pb::EngineHello& hello) {
  if (hello.protocol() != wire::kEngineProtocolVersion) {
    return absl::FailedPreconditionError(
        absl::StrFormat("it speaks version %d of the server–scheduler protocol (build %s), this server version %d",
                        hello.protocol(), hello.build(), wire::kEngineProtocolVersion));
  }
  TESSERA_ASSIGN_OR_RETURN(const EngineLimits limits, wire::FromProto(hello.limits()));
  if (config_.vocab_size > 0 && limits.vocab_size != config_.vocab_size) {
    return absl::FailedPreconditionError(
        absl::StrFormat("its model has %d token ids, the server's tokenizer and config "
                        "%d",
                        limits.vocab_size, config_.vocab_size));
  }
  const std::string pinned = pin_.Pin(hello.model_fingerprint());
  if (!hello.model_fingerprint().empty() && pinned != hello.model_fingerprint()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("its model has the fingerprint %s, that of the other groups %s",
                        absl::BytesToHexString(hello.model_fingerprint()), absl::BytesToHexString(pinned)));
  }
  const MutexLock lock(mutex_);
  if (hello.engine() != std::exchange(engine_number_, hello.engine())) {
    AddCounters(status_, earlier_);
    status_ = EngineStatus();
  }
  limits_ = limits;
  queue_requests_max_ = hello.queue_requests_max();
  has_hello_ = true;
  return absl::OkStatus();
}

absl::Status RemoteEngine::OnTokens(const pb::TokenBatch& tokens) {
  TESSERA_ASSIGN_OR_RETURN(TokenBatch batch, wire::FromProto(tokens, limits().vocab_size, clock_.Now()));
  TokenBatch known;
  {
    const MutexLock lock(mutex_);
    for (RequestTokens& one : batch.requests) {
      if (one.finish.has_value() ? open_.erase(one.request) > 0 : open_.contains(one.request)) {
        known.requests.push_back(std::move(one));
      }
    }
  }
  if (!known.requests.empty()) sink_.OnTokens(std::move(known));
  return absl::OkStatus();
}

absl::Status RemoteEngine::OnRefused(const pb::Refused& refused) {
  absl::Status status = wire::FromProto(refused.status());
  if (status.ok()) return absl::InvalidArgumentError("it refused a request without a reason");
  const RequestId id{refused.request()};
  {
    const MutexLock lock(mutex_);
    if (open_.erase(id) == 0) return absl::OkStatus();
  }
  TokenBatch batch;
  batch.requests.push_back(Failed(id, std::move(status)));
  sink_.OnTokens(std::move(batch));
  return absl::OkStatus();
}

absl::Status RemoteEngine::OnStatus(const pb::EngineStatus& in) {
  TESSERA_ASSIGN_OR_RETURN(EngineStatus status, wire::FromProto(in, clock_.Now()));
  const MutexLock lock(mutex_);
  status_ = std::move(status);
  while (!unseen_.empty() && unseen_.front().number <= in.num_submits_seen()) unseen_.pop_front();
  if (!std::exchange(has_status_, true)) {
    spdlog::info("group {}: connected", config_.group_name);
    reason_.clear();
  }
  return absl::OkStatus();
}

}  // namespace tessera
