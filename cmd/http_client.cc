#include "cmd/http_client.h"

#include <sys/socket.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tessera {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

absl::StatusOr<ServerAddress> ServerAddress::Parse(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (url.substr(0, kScheme.size()) != kScheme) {
    return absl::InvalidArgumentError(absl::StrFormat("server: got '%s', wanted http://HOST:PORT", std::string(url)));
  }
  std::string_view rest = url.substr(kScheme.size());
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  const size_t colon = rest.rfind(':');
  const bool has_port = colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos;
  std::string_view host = has_port ? rest.substr(0, colon) : rest;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.empty() || rest.find('/') != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrFormat("server: got '%s', wanted http://HOST:PORT", std::string(url)));
  }
  return ServerAddress{std::string(host), has_port ? std::string(rest.substr(colon + 1)) : "80"};
}

void CallStopper::Stop() {
  stopped_ = true;
  if (const int socket = socket_; socket >= 0) ::shutdown(socket, SHUT_RDWR);
}

// A connected socket that its stopper can end.
class StoppableSocket {
 public:
  explicit StoppableSocket(CallStopper& stopper) : socket_(context_), stopper_(stopper) {}
  ~StoppableSocket() { stopper_.socket_ = -1; }

  absl::Status Connect(const ServerAddress& server) {
    error_code error;
    asio::ip::tcp::resolver resolver(context_);
    const auto endpoints = resolver.resolve(server.host, server.port, error);
    if (!error) asio::connect(socket_, endpoints, error);
    if (error) {
      return absl::UnavailableError(absl::StrFormat("%s:%s: %s", server.host, server.port, error.message()));
    }
    stopper_.socket_ = socket_.native_handle();
    if (stopper_.stopped()) stopper_.Stop();  // it came while we connected
    return absl::OkStatus();
  }

  asio::ip::tcp::socket& get() { return socket_; }

 private:
  asio::io_context context_;
  asio::ip::tcp::socket socket_;
  CallStopper& stopper_;
};

namespace {

http::request<http::string_body> MakeRequest(http::verb verb, const ServerAddress& server, const std::string& path,
                                             const std::string& api_key) {
  http::request<http::string_body> request(verb, path, 11);
  request.set(http::field::host, absl::StrCat(server.host, ":", server.port));
  request.set(http::field::user_agent, "tessera");
  if (!api_key.empty()) request.set(http::field::authorization, absl::StrCat("Bearer ", api_key));
  return request;
}

absl::Status ToStatus(const error_code& error, const CallStopper& stopper, const char* what) {
  if (stopper.stopped()) return absl::CancelledError("stopped");
  return absl::UnavailableError(absl::StrFormat("%s: %s", what, error.message()));
}

// Splits what arrives into events and hands on their data.
class EventReader {
 public:
  explicit EventReader(const std::function<void(std::string_view)>& on_data) : on_data_(on_data) {}

  void Add(std::string_view bytes) {
    buffer_.append(bytes);
    size_t begin = 0;
    for (size_t end; (end = buffer_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      std::string_view line(buffer_.data() + begin, end - begin);
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      constexpr std::string_view kData = "data: ";
      if (line.substr(0, kData.size()) != kData) continue;  // comments and blank lines
      line.remove_prefix(kData.size());
      if (line != "[DONE]") on_data_(line);
    }
    buffer_.erase(0, begin);
  }

 private:
  const std::function<void(std::string_view)>& on_data_;
  std::string buffer_;
};

}  // namespace

absl::StatusOr<std::string> HttpGet(const ServerAddress& server, const std::string& path, const std::string& api_key) {
  CallStopper never;
  StoppableSocket socket(never);
  if (const absl::Status status = socket.Connect(server); !status.ok()) return status;
  error_code error;
  http::write(socket.get(), MakeRequest(http::verb::get, server, path, api_key), error);
  if (error) return ToStatus(error, never, "send");
  beast::flat_buffer buffer;
  http::response<http::string_body> response;
  http::read(socket.get(), buffer, response, error);
  if (error) return ToStatus(error, never, "receive");
  if (response.result() != http::status::ok) {
    return absl::UnavailableError(absl::StrFormat("%s: HTTP %d: %s", path, response.result_int(), response.body()));
  }
  return std::move(response.body());
}

absl::Status HttpPostEvents(const ServerAddress& server, const std::string& path, const std::string& api_key,
                            const std::string& body, CallStopper& stopper,
                            const std::function<void(std::string_view)>& on_data) {
  StoppableSocket socket(stopper);
  if (const absl::Status status = socket.Connect(server); !status.ok()) return status;
  auto request = MakeRequest(http::verb::post, server, path, api_key);
  request.set(http::field::content_type, "application/json");
  request.body() = body;
  request.prepare_payload();
  error_code error;
  http::write(socket.get(), request, error);
  if (error) return ToStatus(error, stopper, "send");

  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  http::read_header(socket.get(), buffer, parser, error);
  if (error) return ToStatus(error, stopper, "receive");
  const bool is_error = parser.get().result() != http::status::ok;
  std::string error_body;
  EventReader events(on_data);
  char chunk[8192];
  while (!parser.is_done()) {
    parser.get().body().data = chunk;
    parser.get().body().size = sizeof(chunk);
    http::read_some(socket.get(), buffer, parser, error);
    if (error == http::error::need_buffer) error = {};
    if (error) return ToStatus(error, stopper, "receive");
    const std::string_view bytes(chunk, sizeof(chunk) - parser.get().body().size);
    if (is_error) {
      error_body.append(bytes);
    } else {
      events.Add(bytes);
    }
  }
  if (is_error) return absl::UnavailableError(absl::StrFormat("HTTP %d: %s", parser.get().result_int(), error_body));
  return absl::OkStatus();
}

}  // namespace tessera
