#include "server/http/http_server.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "server/http/error_body.h"

namespace tessera {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// How often timeouts and keep-alives are looked at. What is due is decided by the clock.
constexpr std::chrono::milliseconds kTick(50);

absl::StatusOr<tcp::endpoint> Resolve(asio::io_context& io, const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) {
    return absl::InvalidArgumentError(absl::StrFormat("http address: got '%s', wanted HOST:PORT", address));
  }
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  error_code error;
  const auto results = tcp::resolver(io).resolve(host, address.substr(colon + 1), tcp::resolver::passive, error);
  if (error || results.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat("http address '%s': %s", address, error.message()));
  }
  return results.begin()->endpoint();
}

std::string Describe(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return endpoint.address().is_v6() ? absl::StrFormat("[%s]:%d", host, endpoint.port())
                                    : absl::StrFormat("%s:%d", host, endpoint.port());
}

}  // namespace

HttpServer::HttpServer(const HttpConfig& config, const Router& router, const Clock& clock, ServerMetrics& metrics,
                       const AccessLog& access_log)
    : shared_{.config = config,
              .router = router,
              .clock = clock,
              .metrics = metrics,
              .access_log = access_log,
              .body_budget = ByteBudget(config.bodies_bytes_max)},
      work_(asio::make_work_guard(io_)),
      acceptor_(asio::make_strand(io_)),
      ticker_(io_) {}

HttpServer::~HttpServer() { Stop(); }

absl::StatusOr<std::string> HttpServer::Start(const std::string& address) {
  TESSERA_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, Resolve(io_, address));
  const HttpConfig& config = shared_.config;
  if (!config.tls_certificate_chain.empty()) {
    TESSERA_ASSIGN_OR_RETURN(tls_, MakeTlsContext(config.tls_certificate_chain, config.tls_private_key));
  }
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return absl::UnavailableError(absl::StrFormat("cannot listen on %s: %s", address, error.message()));
  const std::string bound = Describe(acceptor_.local_endpoint());
  Accept();
  Tick();
  for (int i = 0; i < shared_.config.num_io_threads; ++i) threads_.emplace_back([this] { io_.run(); });
  return bound;
}

void HttpServer::Accept() {
  acceptor_.async_accept(asio::make_strand(io_),
                         [this](error_code error, tcp::socket socket) { OnAccept(error, std::move(socket)); });
}

std::unique_ptr<ByteStream> HttpServer::MakeStream(tcp::socket socket) {
  return tls_ == nullptr ? MakePlainStream(std::move(socket)) : MakeTlsStream(std::move(socket), *tls_);
}

void HttpServer::OnAccept(error_code error, tcp::socket socket) {
  if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
  if (error) {  // out of descriptors, most likely: try again when the next tick may have closed some
    spdlog::warn("http: accept failed: {}", error.message());
    auto timer = std::make_shared<asio::steady_timer>(acceptor_.get_executor(), kTick);
    timer->async_wait([this, timer](error_code) { Accept(); });
    return;
  }
  bool is_full = false;
  {
    MutexLock lock(mutex_);
    is_full = connections_.size() >= static_cast<size_t>(shared_.config.connections_max);
  }
  if (is_full) {
    if (tls_ == nullptr) {  // a TLS client would have to be greeted first
      HttpResponse response = ErrorResponse(absl::UnavailableError("too many connections; try again later"));
      const std::string data = FormatHead(response, BodyFraming::kLength, /*keep_alive=*/false, "-") + response.body;
      socket.non_blocking(true, error);
      socket.write_some(asio::buffer(data), error);
    }
    return Accept();
  }
  {
    MutexLock lock(mutex_);
    auto connection = std::make_shared<Connection>(MakeStream(std::move(socket)), shared_);
    connections_.push_back(connection);
    connection->Start();
  }
  Accept();
}

std::vector<std::shared_ptr<Connection>> HttpServer::LiveConnections() {
  std::vector<std::shared_ptr<Connection>> live;
  MutexLock lock(mutex_);
  for (const auto& weak : connections_) {
    if (auto connection = weak.lock()) live.push_back(std::move(connection));
  }
  std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
  return live;
}

void HttpServer::Tick() {
  ticker_.expires_after(kTick);
  ticker_.async_wait([this](error_code error) {
    if (error) return;
    const int64_t now_ns = absl::ToUnixNanos(shared_.clock.Now());
    for (const auto& connection : LiveConnections()) connection->OnTick(now_ns);
    Tick();
  });
}

void HttpServer::Drain() {
  shared_.is_draining = true;
  asio::post(acceptor_.get_executor(), [this] {
    error_code ignored;
    acceptor_.close(ignored);
  });
  for (const auto& connection : LiveConnections()) connection->Drain();
}

bool HttpServer::AwaitIdle(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  // Connections say nobody that they end; they are looked at as often as their timeouts are.
  while (!LiveConnections().empty()) {
    if (absl::Now() >= deadline) return false;
    std::this_thread::sleep_for(kTick / 5);
  }
  return true;
}

void HttpServer::Stop() {
  if (threads_.empty()) return;
  Drain();
  for (const auto& connection : LiveConnections()) connection->Abort();
  AwaitIdle(absl::Seconds(1));
  work_.reset();
  io_.stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace tessera
