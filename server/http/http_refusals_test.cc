// What is refused, how failures are told, and what needs a key.
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "server/http/http_api_fixture.h"

namespace tessera {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(HttpApiTest, RefusesWithBodiesThatClientsRead) {
  const auto expect = [&](const HttpReply& reply, int status, const char* code) {
    EXPECT_EQ(reply.status, status);
    const Json error = Json::parse(reply.body)["error"];
    EXPECT_EQ(error["code"], code);
    EXPECT_TRUE(error["message"].is_string());
    EXPECT_TRUE(error["type"].is_string());
  };
  expect(Post(kChat, "{"), 400, "invalid_value");
  expect(Post(kChat, ChatBody(R"("model":"other")")), 404, "model_not_found");
  expect(Post(kChat, ChatBody(R"("response_format":{"type":"json_object"})")), 400, "unsupported_value");
  expect(Post(kChat, ChatBody(R"("temperature":-1)")), 400, "invalid_value");
  expect(Post("/v1/nothing", "{}"), 404, "route_not_found");
  expect(Get("/v2/models"), 404, "route_not_found");
  expect(Post(kCompletions, R"({"prompt":")" + std::string(1000, 'x') + "\"}"), 400, "context_length_exceeded");
  expect(Post(kChat, std::string(5 << 20, ' ')), 413, "request_too_large");
  const HttpReply wrong_method = Get(kChat);
  expect(wrong_method, 405, "method_not_allowed");
  EXPECT_EQ(wrong_method.headers.at("allow"), "POST");
  EXPECT_EQ(Json::parse(Post(kChat, ChatBody(R"("top_p":7)")).body)["error"]["param"], "top_p");
}

TEST_F(HttpApiTest, SurvivesDeepNesting) {
  for (const int depth : {64, 1000, 1'000'000}) {
    const std::string deep =
        std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
    for (const std::string& field :
         {R"("x":)" + deep, R"("metadata":)" + deep,
          R"("tools":[{"type":"function","function":{"name":"f","parameters":)" + deep + "}}]"}) {
      const HttpReply reply = Post(kChat, ChatBody(field));
      EXPECT_EQ(reply.status, 400) << depth;
      EXPECT_THAT(reply.body, HasSubstr("nested deeper than 64"));
    }
  }
  EXPECT_EQ(Get("/health").status, 200);
}

TEST_F(HttpApiTest, GivesOverloadAndFailuresTheirOwnStatus) {
  Says("x");
  engine_.RefuseWith(absl::ResourceExhaustedError("queue full"));
  const HttpReply busy = Post(kChat, ChatBody(R"("stream":true)"));
  EXPECT_EQ(busy.status, 429);
  EXPECT_TRUE(busy.headers.contains("retry-after"));
  engine_.RefuseWith(absl::UnavailableError("draining"));
  EXPECT_EQ(Post(kChat, ChatBody()).status, 503);
  engine_.RefuseWith(absl::OkStatus());
  script_ = {.finish = FinishReason::kError, .status = absl::InternalError("not finite")};
  engine_.StartThread();
  for (const char* stream : {"true", "false"}) {
    const HttpReply failed = Post(kChat, ChatBody(std::string(R"("stream":)") + stream));
    EXPECT_EQ(failed.status, 500);
    EXPECT_THAT(failed.body, HasSubstr("not finite"));
  }
}

TEST_F(HttpApiTest, TellsOfAFailureInMidStreamAndEndsIt) {
  Says("a</think>bcdef", FinishReason::kError);
  script_.status = absl::InternalError("not finite");
  engine_.StartThread();
  const HttpReply reply = Post(kChat, ChatBody(R"("stream":true)"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.is_complete);
  const std::vector<std::string> events = EventData(reply.body);
  EXPECT_EQ(Json::parse(events.back())["error"]["message"], "not finite");
  EXPECT_THAT(reply.body, Not(HasSubstr("[DONE]")));
  EXPECT_THAT(reply.body, Not(HasSubstr("event:")));
}

class BodyBudgetTest : public HttpApiTest {
 protected:
  BodyBudgetTest() : HttpApiTest({}, {.body_bytes_max = 1 << 20, .bodies_bytes_max = 1 << 20}) {}
};

TEST_F(BodyBudgetTest, RefusesBodiesThatAreTooManyTogether) {
  const std::string body = R"({"prompt":"x"})" + std::string(600 << 10, ' ');
  std::promise<void> release;
  ASSERT_TRUE(work_.TryRun([done = release.get_future().share()] { done.wait(); }));
  HttpClient first(address_);
  first.Post("/tokenize", body);
  while (work_.num_jobs() < 2) std::this_thread::yield();  // it has come, and waits for the one thread
  const HttpReply refused = Post("/nothing", body);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(Json::parse(refused.body)["error"]["code"], "unavailable");
  EXPECT_TRUE(refused.headers.contains("retry-after"));
  HttpClient partial(address_);
  partial.Send("POST /nothing HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + body);
  EXPECT_EQ(partial.ReadReply().status, 503) << "before all of it has come";
  EXPECT_TRUE(partial.ReadsEnd());
  EXPECT_EQ(Post("/nothing", "{}").status, 404) << "there is room for small ones";
  release.set_value();
  EXPECT_EQ(first.ReadReply().status, 200);
  AwaitNoWork();
  EXPECT_EQ(Post("/nothing", body).status, 404) << "what was parsed is given back";
}

class GuardedHttpApiTest : public HttpApiTest {
 protected:
  GuardedHttpApiTest() : HttpApiTest({"secret"}) {}
};

TEST_F(GuardedHttpApiTest, OpensNothingWithoutAKeyButHealthAndReadiness) {
  for (const char* path :
       {"/v1/models", "/models", "/v1/models/model", "/metrics", "/nothing", "//v1/models", "/V1/models",
        "/v1/../health", "/%68ealth", "/v1/models?api_key=secret", "http://x/health"}) {
    EXPECT_EQ(Get(path).status, 401) << path;
  }
  for (const char* path :
       {kChat, kCompletions, "/chat/completions", "/completions", "/tokenize", "/detokenize", "/health"}) {
    EXPECT_EQ(Post(path, "{}").status, 401) << path;
  }
  for (const char* header :
       {"Authorization: Bearer wrong\r\n", "Authorization: Bearer \r\n", "Authorization: Bearer\r\n",
        "Authorization: Bearer secret\r\nAuthorization: Bearer secret\r\n", "Authorization: Basic secret\r\n"}) {
    const HttpReply reply = Get("/v1/models", header);
    EXPECT_EQ(reply.status, 401) << header;
    EXPECT_THAT(reply.body, Not(HasSubstr("wrong")));
  }
  EXPECT_EQ(Get("/health").status, 200);
  EXPECT_EQ(Get("/ready").status, 200);
  EXPECT_EQ(Get("/v1/models", "Authorization: bearer secret\r\n").status, 200);
}

}  // namespace
}  // namespace tessera
