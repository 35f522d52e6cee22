// The HTTP API over TLS: certificates are made by the test.
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/str_format.h"
#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "server/http/http_api_fixture.h"
#include "server/testing/certificates.h"

namespace tessera {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using testing::HasSubstr;

HttpConfig TlsConfig(const TestCertificate& certificate) {
  return {.body_bytes_max = 4 << 20,
          .tls_certificate_chain = certificate.certificate,
          .tls_private_key = certificate.private_key};
}

class Authority {
 protected:
  TestAuthority authority_;
  TestCertificate certificate_ = authority_.Issue("the server");
};

class HttpTlsTest : private Authority, public HttpApiTest {
 protected:
  HttpTlsTest() : HttpApiTest({}, TlsConfig(certificate_)) {}

  // A client that trusts `root`, connected by TCP.
  struct Client {
    Client(const std::string& address, const std::string& root)
        : context(asio::ssl::context::tls_client), stream(io, context) {
      context.add_certificate_authority(asio::buffer(root));
      stream.set_verify_mode(asio::ssl::verify_peer);
      const size_t colon = address.rfind(':');
      stream.next_layer().connect({asio::ip::make_address(address.substr(0, colon)),
                                   static_cast<unsigned short>(std::stoi(address.substr(colon + 1)))});
    }
    error_code Handshake() {
      error_code error;
      stream.handshake(asio::ssl::stream_base::client, error);
      return error;
    }
    void Send(const std::string& text) { asio::write(stream, asio::buffer(text)); }
    void Post(const std::string& path, const std::string& body, const std::string& headers = "") {
      Send(absl::StrFormat("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s", path, body.size(), headers,
                           body));
    }
    // Up to and with `end`, or all that came before the stream's end.
    std::string ReadUntil(const std::string& end) {
      error_code error;
      const size_t size = asio::read_until(stream, asio::dynamic_buffer(input), end, error);
      last_error = error;
      return input.substr(0, error ? input.size() : size);
    }

    asio::io_context io;
    asio::ssl::context context;
    asio::ssl::stream<tcp::socket> stream;
    std::string input;
    error_code last_error;
  };

  const std::string& root() const { return authority_.certificate(); }
};

TEST_F(HttpTlsTest, AnswersAndKeepsTheConnection) {
  Says("abc");
  engine_.StartThread();
  Client client(address_, root());
  ASSERT_FALSE(client.Handshake());
  for (int i = 0; i < 2; ++i) {
    client.Post(kCompletions, CompletionBody());
    const std::string reply = client.ReadUntil("}}");
    EXPECT_THAT(reply, HasSubstr("200 OK"));
    EXPECT_THAT(reply, HasSubstr("\"text\":\"abc\""));
    client.input.clear();
  }
}

TEST_F(HttpTlsTest, StreamsEvents) {
  Says("abc");
  engine_.StartThread();
  Client client(address_, root());
  ASSERT_FALSE(client.Handshake());
  client.Post(kCompletions, CompletionBody(R"("stream":true)"));
  EXPECT_THAT(client.ReadUntil("[DONE]"), HasSubstr("data: {"));
}

TEST_F(HttpTlsTest, AConnectionIsEndedInOrder) {
  Client client(address_, root());
  ASSERT_FALSE(client.Handshake());
  client.Send("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("no such text"), HasSubstr("{\"status\":\"ok\"}"));
  EXPECT_EQ(client.last_error, asio::error::eof) << "the server said that nothing is missing";
}

TEST_F(HttpTlsTest, AClientThatLeavesEndsItsRequest) {
  script_.waits = true;
  {
    Client client(address_, root());
    ASSERT_FALSE(client.Handshake());
    client.Post(kCompletions, CompletionBody(R"("stream":true)"));
    engine_.AwaitLive(1);
  }
  while (engine_.num_cancelled() == 0) clock_.Advance(absl::Seconds(1));  // probes are due
  engine_.Step();
  AwaitNothingRuns();
}

TEST_F(HttpTlsTest, AClientThatDoesNotGreetIsClosed) {
  Client silent(address_, root());
  tcp::socket& socket = silent.stream.next_layer();
  socket.non_blocking(true);
  char byte = 0;
  error_code error = asio::error::would_block;
  while (error == asio::error::would_block) {  // its deadline may be set only after the clock has moved
    clock_.Advance(absl::Seconds(10));
    socket.read_some(asio::buffer(&byte, 1), error);
  }
  EXPECT_EQ(error, asio::error::eof);
}

TEST_F(HttpTlsTest, PlainTextIsNotAnswered) {
  HttpClient client(address_);
  client.Get("/health");
  EXPECT_FALSE(client.ReadReply().is_complete);
}

TEST_F(HttpTlsTest, AClientThatDoesNotTrustItTurnsAway) {
  Client client(address_, TestAuthority().certificate());
  EXPECT_TRUE(client.Handshake());
}

TEST_F(HttpTlsTest, RefusesAKeyThatIsNotOne) {
  HttpServer server({.tls_certificate_chain = "x", .tls_private_key = "y"}, router_, clock_, metrics_, access_log_);
  EXPECT_THAT(server.Start("127.0.0.1:0"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("TLS")));
}

}  // namespace
}  // namespace tessera
