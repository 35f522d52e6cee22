#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "server/http/connection.h"

namespace tessera {

// Accepts connections and lets a router answer their requests. Thread-safe.
class HttpServer {
 public:
  // All but `config` must outlive it.
  HttpServer(const HttpConfig& config, const Router& router, const Clock& clock, ServerMetrics& metrics,
             const AccessLog& access_log);
  ~HttpServer();  // Stop

  // Listens on "host:port" (port 0: any free one) and serves. Returns the bound address. Call once.
  absl::StatusOr<std::string> Start(const std::string& address);

  void Drain();                            // takes no new connection; closes each one after its running answer
  bool AwaitIdle(absl::Duration timeout);  // false: some connection was still open
  void Stop();                             // closes everything at once

 private:
  void Accept();
  void OnAccept(boost::system::error_code error, boost::asio::ip::tcp::socket socket);
  void Tick();
  std::vector<std::shared_ptr<Connection>> LiveConnections();

  std::unique_ptr<ByteStream> MakeStream(boost::asio::ip::tcp::socket socket);

  Connection::Shared shared_;
  std::unique_ptr<boost::asio::ssl::context> tls_;  // null: plain connections
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer ticker_;
  Mutex mutex_;
  std::vector<std::weak_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace tessera
