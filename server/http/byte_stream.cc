#include "server/http/byte_stream.h"

#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "absl/strings/str_format.h"

namespace tessera {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(tcp::socket socket) : socket_(std::move(socket)) {}

  tcp::socket& socket() override { return socket_; }
  void Open(ErrorHandler handler) override { handler(error_code()); }
  void ReadSome(asio::mutable_buffer buffer, ReadHandler handler) override {
    socket_.async_read_some(buffer, std::move(handler));
  }
  void Write(asio::const_buffer data, ErrorHandler handler) override {
    asio::async_write(socket_, data, [handler = std::move(handler)](error_code error, size_t) { handler(error); });
  }
  void ShutdownSend() override {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }

 private:
  tcp::socket socket_;
};

class TlsStream final : public ByteStream {
 public:
  TlsStream(tcp::socket socket, asio::ssl::context& context)
      : stream_(std::make_shared<Stream>(std::move(socket), context)) {}

  tcp::socket& socket() override { return stream_->next_layer(); }
  void Open(ErrorHandler handler) override {
    stream_->async_handshake(asio::ssl::stream_base::server, std::move(handler));
  }
  void ReadSome(asio::mutable_buffer buffer, ReadHandler handler) override {
    stream_->async_read_some(buffer, std::move(handler));
  }
  void Write(asio::const_buffer data, ErrorHandler handler) override {
    asio::async_write(*stream_, data, [handler = std::move(handler)](error_code error, size_t) { handler(error); });
  }
  void ShutdownSend() override {
    // Sends close_notify at once and waits for the client's, or for the end of the socket; meanwhile reads go on.
    stream_->async_shutdown([stream = stream_](error_code) {});
  }

 private:
  using Stream = asio::ssl::stream<tcp::socket>;
  std::shared_ptr<Stream> stream_;  // shared with a shutdown that nobody waits for
};

}  // namespace

std::unique_ptr<ByteStream> MakePlainStream(tcp::socket socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

std::unique_ptr<ByteStream> MakeTlsStream(tcp::socket socket, asio::ssl::context& context) {
  return std::make_unique<TlsStream>(std::move(socket), context);
}

absl::StatusOr<std::unique_ptr<asio::ssl::context>> MakeTlsContext(const std::string& certificate_chain,
                                                                   const std::string& private_key) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  error_code error;
  context->set_options(asio::ssl::context::no_sslv2 | asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                           asio::ssl::context::no_tlsv1_1 | asio::ssl::context::no_compression,
                       error);
  if (!error) context->use_certificate_chain(asio::buffer(certificate_chain), error);
  if (!error) context->use_private_key(asio::buffer(private_key), asio::ssl::context::pem, error);
  if (error) return absl::InvalidArgumentError(absl::StrFormat("TLS certificate or key: %s", error.message()));
  return context;
}

}  // namespace tessera
