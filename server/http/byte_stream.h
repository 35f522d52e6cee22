#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace tessera {

// A client's connection as a stream of bytes: TCP, or TLS over it. Handlers are called on its executor; at most one
// read and one write are under way. An end of the client's stream comes as asio::error::eof; with TLS that is its
// close_notify, and an end without one is another error.
class ByteStream {
 public:
  using ErrorHandler = std::function<void(boost::system::error_code)>;
  using ReadHandler = std::function<void(boost::system::error_code, size_t num_bytes)>;

  virtual ~ByteStream() = default;

  virtual boost::asio::ip::tcp::socket& socket() = 0;
  // Makes it ready for use: the TLS handshake. Once, first.
  virtual void Open(ErrorHandler handler) = 0;
  virtual void ReadSome(boost::asio::mutable_buffer buffer, ReadHandler handler) = 0;
  virtual void Write(boost::asio::const_buffer data, ErrorHandler handler) = 0;  // all of it
  virtual void ShutdownSend() = 0;                                               // nothing is written after it

  boost::asio::any_io_executor executor() { return socket().get_executor(); }
};

std::unique_ptr<ByteStream> MakePlainStream(boost::asio::ip::tcp::socket socket);
// `context` must outlive it.
std::unique_ptr<ByteStream> MakeTlsStream(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context& context);

// A server's TLS context: TLS 1.2 or later. Both texts are PEM.
absl::StatusOr<std::unique_ptr<boost::asio::ssl::context>> MakeTlsContext(const std::string& certificate_chain,
                                                                          const std::string& private_key);

}  // namespace tessera
