// One line for each request, whatever became of it, and nothing of what was said.
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "server/http/http_api_fixture.h"

namespace tessera {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

TEST_F(HttpApiTest, LogsAGenerationWithItsTokensAndTimes) {
  Says("x</think>secret", FinishReason::kLength);
  engine_.StartThread();
  for (const char* stream : {"true", "false"}) {
    HttpClient client(address_);
    client.Post(kChat, ChatBody(std::string(R"("user":"secret","stream":)") + stream),
                "X-Request-Id: r1\r\nAuthorization: Bearer secret\r\n");
    EXPECT_EQ(client.ReadReply().status, 200);
    EXPECT_THAT(AwaitAccessLines(std::string(stream) == "true" ? 1 : 2).back(),
                MatchesRegex("request id=r1 client=127.0.0.1:[0-9]+ method=POST route=/v1/chat/completions status=200 "
                             "total_ms=[0-9.]+ end=length prompt_tokens=[0-9]+ completion_tokens=8 queue_ms=- "
                             "ttft_ms=[0-9.]+\n"));
  }
}

TEST_F(HttpApiTest, LogsWhatWasRefused) {
  Post("/nothing?api_key=secret", "{}");
  EXPECT_THAT(AwaitAccessLines(1).back(),
              AllOf(HasSubstr("method=POST route=/nothing status=404 "), Not(HasSubstr("secret"))));
  Post(kChat, "{\"secret");
  EXPECT_THAT(AwaitAccessLines(2).back(), AllOf(HasSubstr("status=400 "), Not(HasSubstr("secret"))));
  Post(kChat, ChatBody(R"("model":"other")"));
  EXPECT_THAT(AwaitAccessLines(3).back(), HasSubstr("status=404 "));
  HttpClient client(address_);
  client.Send("secret nonsense\r\n\r\n");
  EXPECT_EQ(client.ReadReply().status, 400);
  EXPECT_THAT(AwaitAccessLines(4).back(), AllOf(HasSubstr("method=- route=- status=400 "), Not(HasSubstr("secret"))));
}

TEST_F(HttpApiTest, LogsAClientThatLeft) {
  Says("x");
  script_.waits = true;
  HttpClient client(address_);
  client.Post(kChat, ChatBody());
  engine_.AwaitLive(1);
  client.Reset();
  EXPECT_THAT(AwaitAccessLines(1).back(), AllOf(HasSubstr("status=- "), HasSubstr("end=cancelled prompt_tokens=")));
}

TEST_F(HttpApiTest, ProbesDoNotFillTheLog) {
  for (const char* path : {"/health", "/ready", "/metrics", "/v1/models"}) EXPECT_EQ(Get(path).status, 200);
  EXPECT_THAT(AwaitAccessLines(1).front(), HasSubstr("route=/v1/models"));
}

}  // namespace
}  // namespace tessera
