#include "server/http/request_reader.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::HasSubstr;
using Progress = RequestReader::Progress;

class RequestReaderTest : public testing::Test {
 protected:
  Progress Read(std::string_view bytes) {
    reader_.Add(bytes);
    return reader_.Advance();
  }
  // Refused for this reason.
  void ExpectRefused(std::string_view bytes, int status, const char* message) {
    RequestReader reader(config_, budget_);
    reader.Add(bytes);
    ASSERT_EQ(reader.Advance(), Progress::kRefused) << bytes.substr(0, 80);
    EXPECT_EQ(reader.refusal().status, status);
    EXPECT_THAT(reader.refusal().message, HasSubstr(message));
  }

  HttpConfig config_{.header_bytes_max = 1024, .body_bytes_max = 1024};
  ByteBudget budget_{2000};
  RequestReader reader_{config_, budget_};
};

TEST_F(RequestReaderTest, ReadsTheSameRequestForEveryCut) {
  const std::string bytes =
      "POST /a/b?key=1 HTTP/1.1\r\nX-Request-Id: id-1\r\nAuthorization: Bearer k\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    ASSERT_EQ(Read(bytes.substr(0, cut)), Progress::kUnfinished) << cut;
    ASSERT_EQ(Read(bytes.substr(cut)), Progress::kComplete) << cut;
    EXPECT_TRUE(reader_.keeps_alive());
    const HttpRequest request = reader_.Take();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/a/b");
    EXPECT_EQ(request.id, "id-1");
    EXPECT_EQ(request.authorization, "Bearer k");
    EXPECT_EQ(request.body, "abcde");
    EXPECT_FALSE(reader_.has_begun()) << "the next one";
  }
}

TEST_F(RequestReaderTest, PipelinedRequestsWait) {
  EXPECT_EQ(Read("GET /1 HTTP/1.0\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"), Progress::kComplete);
  EXPECT_TRUE(reader_.is_http_1_0());
  EXPECT_FALSE(reader_.keeps_alive());
  EXPECT_EQ(reader_.Take().path, "/1");
  EXPECT_GT(reader_.num_waiting_bytes(), 0U);
  EXPECT_EQ(reader_.Advance(), Progress::kComplete);
  EXPECT_EQ(reader_.Take().path, "/2");
  EXPECT_EQ(reader_.num_waiting_bytes(), 0U);
}

TEST_F(RequestReaderTest, KnowsWhoWaitsForLeaveToSendABody) {
  const std::string head = "POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
  EXPECT_EQ(Read(head), Progress::kUnfinished);
  EXPECT_TRUE(reader_.expects_continue());
  EXPECT_EQ(Read("ab"), Progress::kComplete);
  EXPECT_FALSE(reader_.expects_continue()) << "the body has come";
}

TEST_F(RequestReaderTest, TakesNoAuthorizationFromTwoHeaders) {
  ASSERT_EQ(Read("GET / HTTP/1.1\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"), Progress::kComplete);
  EXPECT_EQ(reader_.Take().authorization, "");
}

TEST_F(RequestReaderTest, RefusesWhatIsNotHttpOrTooMuchOfIt) {
  ExpectRefused("\x16\x03\x01 nonsense\r\n\r\n", 400, "not an HTTP/1.1 request");
  ExpectRefused("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "not an HTTP/1.1 request");
  ExpectRefused("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x') + "\r\n\r\n", 431, "got more than 1024 bytes");
  ExpectRefused("POST / HTTP/1.1\r\nContent-Length: 1025\r\n\r\n", 413, "got more than 1024 bytes");
  ExpectRefused(
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n" + std::string(1025, 'x') + "\r\n0\r\n\r\n", 413,
      "got more than 1024 bytes");
}

TEST_F(RequestReaderTest, BoundsTheBodiesOfAllRequestsTogether) {
  const std::string head = "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
  const std::string thousand(1000, 'x');
  EXPECT_EQ(Read(head), Progress::kUnfinished);
  EXPECT_EQ(budget_.bytes_held(), 0) << "an announcement holds nothing";
  ASSERT_EQ(Read(thousand), Progress::kComplete);
  HttpRequest first = reader_.Take();
  ASSERT_EQ(Read(head + thousand), Progress::kComplete);
  const HttpRequest second = reader_.Take();
  ExpectRefused(head + "x", 503, "together would pass");
  first.body_share = nullptr;
  EXPECT_EQ(Read(head + thousand), Progress::kComplete) << "what was given back is there for others";
}

TEST_F(RequestReaderTest, ClearGivesTheBodyBack) {
  Read("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc");
  EXPECT_EQ(budget_.bytes_held(), 3);
  reader_.Clear();
  EXPECT_EQ(budget_.bytes_held(), 0);
}

}  // namespace
}  // namespace tessera
