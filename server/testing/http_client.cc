#include "server/testing/http_client.h"

#include <algorithm>
#include <boost/asio/write.hpp>
#include <cctype>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "base/check.h"

namespace tessera {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

}  // namespace

HttpClient::HttpClient(const std::string& address) : socket_(io_) {
  const size_t colon = address.rfind(':');
  const auto port = static_cast<unsigned short>(std::stoi(address.substr(colon + 1)));
  socket_.connect({boost::asio::ip::make_address(address.substr(0, colon)), port});
}

void HttpClient::Send(std::string_view bytes) {
  error_code ignored;  // a server that refuses may close before it has read all
  boost::asio::write(socket_, boost::asio::buffer(bytes.data(), bytes.size()), ignored);
}

void HttpClient::Post(const std::string& path, const std::string& body, const std::string& extra_headers) {
  Send(absl::StrFormat("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s", path, body.size(),
                       extra_headers, body));
}

void HttpClient::Get(const std::string& path, const std::string& extra_headers) {
  Send(absl::StrFormat("GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, extra_headers));
}

bool HttpClient::Fill() {
  char buffer[4096];
  error_code error;
  const size_t count = socket_.read_some(boost::asio::buffer(buffer), error);
  input_.append(buffer, count);
  return !error;
}

bool HttpClient::ReadLine(std::string& line) {
  size_t end = 0;
  while ((end = input_.find("\r\n")) == std::string::npos) {
    if (!Fill()) return false;
  }
  line = input_.substr(0, end);
  input_.erase(0, end + 2);
  return true;
}

HttpReply HttpClient::ReadHead() {
  HttpReply reply;
  std::string line;
  do {
    reply = HttpReply();
    if (!ReadLine(line)) return {.is_complete = false};
    reply.status = std::stoi(line.substr(9, 3));
    while (ReadLine(line) && !line.empty()) {
      const size_t colon = line.find(": ");
      reply.headers[absl::AsciiStrToLower(line.substr(0, colon))] = line.substr(colon + 2);
    }
    num_interim_ += reply.status == 100;
  } while (reply.status == 100);
  chunks_ended_ = false;
  return reply;
}

HttpReply HttpClient::ReadReply(bool is_head) {
  HttpReply reply = ReadHead();
  if (!reply.is_complete || is_head) return reply;
  if (reply.headers.contains("content-length")) {
    const size_t size = std::stoul(reply.headers["content-length"]);
    while (input_.size() < size) {
      if (!Fill()) {
        reply.is_complete = false;
        break;
      }
    }
    reply.body = input_.substr(0, size);
    input_.erase(0, reply.body.size());
    return reply;
  }
  if (reply.headers.contains("transfer-encoding")) {
    for (std::string chunk = ReadChunk(); !chunk.empty(); chunk = ReadChunk()) reply.body += chunk;
    reply.is_complete = chunks_ended_;
    return reply;
  }
  while (Fill()) continue;
  reply.body = std::exchange(input_, {});
  return reply;
}

std::string HttpClient::ReadChunk() {
  std::string line;
  if (chunks_ended_ || !ReadLine(line)) return "";
  const size_t size = std::stoul(line, nullptr, 16);
  while (input_.size() < size + 2) {
    if (!Fill()) return "";
  }
  std::string data = input_.substr(0, size);
  input_.erase(0, size + 2);
  if (size == 0) chunks_ended_ = true;
  return data;
}

std::string HttpClient::ReadEvent() {
  size_t end = 0;
  while ((end = events_.find("\n\n")) == std::string::npos) {
    const std::string chunk = ReadChunk();
    if (chunk.empty()) return std::exchange(events_, {});
    events_ += chunk;
  }
  std::string event = events_.substr(0, end + 2);
  events_.erase(0, end + 2);
  return event;
}

bool HttpClient::ReadsEnd() {
  while (input_.empty()) {
    if (!Fill()) return input_.empty();
  }
  return false;
}

void HttpClient::CloseSending() { socket_.shutdown(tcp::socket::shutdown_send); }
void HttpClient::Close() { socket_.close(); }
void HttpClient::Reset() {
  socket_.set_option(boost::asio::socket_base::linger(true, 0));
  socket_.close();
}

std::vector<std::string> EventData(const std::string& stream) {
  std::vector<std::string> data;
  constexpr std::string_view kPrefix = "data: ";
  for (size_t begin = 0; begin < stream.size();) {
    const size_t end = std::min(stream.find("\n\n", begin), stream.size());
    const std::string_view event = std::string_view(stream).substr(begin, end - begin);
    if (event.starts_with(kPrefix)) data.emplace_back(event.substr(kPrefix.size()));
    begin = end + 2;
  }
  return data;
}

}  // namespace tessera
