// Connections: pipelining, timeouts, keep-alives, and every way in which a client can leave.
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "server/http/http_api_fixture.h"

namespace tessera {
namespace {

using testing::HasSubstr;

TEST_F(HttpApiTest, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  Says("x</think>y");
  engine_.StartThread();
  HttpClient client(address_);
  client.Post(kChat, ChatBody());
  client.Get("/health");
  client.Get("/v1/models");
  EXPECT_THAT(client.ReadReply().body, HasSubstr("chat.completion"));
  EXPECT_THAT(client.ReadReply().body, HasSubstr("ok"));
  EXPECT_THAT(client.ReadReply().body, HasSubstr("list"));
  client.Get("/health", "Connection: close\r\n");
  EXPECT_EQ(client.ReadReply().headers.at("connection"), "close");
  EXPECT_TRUE(client.ReadsEnd());
}

TEST_F(HttpApiTest, TakesRequestsInPiecesAndChunks) {
  HttpClient client(address_);
  for (const char c : std::string("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")) client.Send({&c, 1});
  EXPECT_EQ(client.ReadReply().status, 200);
  client.Send(
      "POST /detokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"tokens\r\n7\r\n\":[65]}\r\n0\r\n\r\n");
  EXPECT_EQ(Json::parse(client.ReadReply().body)["prompt"], "A");
  client.Send("POST /detokenize HTTP/1.1\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n");
  client.Send(R"({"tokens":[66]})");
  EXPECT_EQ(Json::parse(client.ReadReply().body)["prompt"], "B");
  EXPECT_EQ(client.num_interim(), 1);
  client.Send("HEAD /health HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.ReadReply(/*is_head=*/true).headers.at("content-length"), "15");
  EXPECT_EQ(client.ReadReply().status, 200);
}

TEST_F(HttpApiTest, RefusesWhatIsNotHttp) {
  for (const std::string& bytes :
       {std::string("\x16\x03\x01 nonsense\r\n\r\n"), "GET / HTTP/1.1\r\nX: " + std::string(20 << 10, 'x') + "\r\n\r\n",
        std::string("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n")}) {
    HttpClient client(address_);
    client.Send(bytes);
    const HttpReply reply = client.ReadReply();
    EXPECT_GE(reply.status, 400);
    EXPECT_LT(reply.status, 500);
    EXPECT_TRUE(client.ReadsEnd());
  }
}

TEST_F(HttpApiTest, ClosesIdleAndSlowConnectionsByTheClock) {
  HttpClient idle(address_), slow(address_);
  idle.Get("/health");
  EXPECT_EQ(idle.ReadReply().status, 200);
  slow.Send("GET /health HTT");
  idle.Get("/health");
  EXPECT_EQ(idle.ReadReply().status, 200);
  // Time goes on until both are closed: how far the server is with what the slow one sent cannot be seen from here.
  std::atomic<bool> is_over = false;
  std::thread time([&] {
    while (!is_over) {
      clock_.Advance(absl::Seconds(1));
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(idle.ReadsEnd());
  EXPECT_TRUE(slow.ReadsEnd());
  is_over = true;
  time.join();
}

class KeepAliveTest : public HttpApiTest {
 protected:
  // Both clients have waited so long for a first token that something was sent to keep their connections alive.
  void AwaitKeepAlives() {
    script_.waits = true;
    stream_.Post(kChat, ChatBody(R"("stream":true)"));
    whole_.Post(kChat, ChatBody());
    engine_.AwaitLive(2);
    clock_.Advance(absl::Seconds(11));
    EXPECT_EQ(stream_.ReadHead().status, 200);
    EXPECT_EQ(stream_.ReadEvent(), ": keep-alive\n\n");
    EXPECT_EQ(whole_.ReadHead().status, 200);
    EXPECT_EQ(whole_.ReadChunk(), "\n");
    engine_.Release();
    engine_.StartThread();
  }

  HttpClient stream_{address_}, whole_{address_};
};

TEST_F(KeepAliveTest, TheAnswerComesAfterIt) {
  Says("x</think>y");
  AwaitKeepAlives();
  EXPECT_THAT(stream_.ReadEvent(), HasSubstr("data: {"));
  EXPECT_EQ(Json::parse(whole_.ReadChunk())["choices"][0]["message"]["content"], "y");
  EXPECT_EQ(whole_.ReadChunk(), "");
}

TEST_F(KeepAliveTest, AFailureAfterItIsSeenByEveryClient) {
  script_ = {.finish = FinishReason::kError, .status = absl::InternalError("not finite")};
  AwaitKeepAlives();
  EXPECT_THAT(stream_.ReadEvent(), HasSubstr("not finite"));
  EXPECT_EQ(whole_.ReadChunk(), "");
  EXPECT_TRUE(whole_.ReadsEnd()) << "a body without its end, not a success";
}

TEST_F(HttpApiTest, LongPromptsHoldNobodyElseUp) {
  Says("x</think>yz");
  HttpClient stream(address_);
  stream.Post(kChat, ChatBody(R"("stream":true)"));
  engine_.AwaitLive(1);
  AwaitNoWork();  // so that the jobs counted below are this test's
  std::promise<void> release;
  // Stands for a prompt that takes long to tokenize: the one thread for prompts is busy until it is released.
  ASSERT_TRUE(work_.TryRun([done = release.get_future().share()] { done.wait(); }));
  while (engine_.Step() > 0) continue;
  EXPECT_THAT(stream.ReadReply().body, HasSubstr("[DONE]")) << "tokens reach their client";
  EXPECT_EQ(Get("/health").status, 200);
  EXPECT_EQ(Get("/ready").status, 200);
  std::vector<std::unique_ptr<HttpClient>> waiting;
  for (int i = 0; i < 63; ++i) {
    waiting.push_back(std::make_unique<HttpClient>(address_));
    waiting.back()->Post("/tokenize", R"({"prompt":"x"})");
  }
  while (work_.num_jobs() < 64) std::this_thread::yield();
  EXPECT_EQ(Post("/tokenize", R"({"prompt":"x"})").status, 429) << "the queue in front of that thread is bounded";
  release.set_value();
  for (const auto& client : waiting) EXPECT_EQ(client->ReadReply().status, 200);
}

// How a client can leave, and in which phase.
enum class Leaving { kClose, kReset };
struct Departure {
  std::string name;
  Leaving leaving;
  bool stream;
  bool queued;  // else: two tokens have come
};
class DepartureTest : public HttpApiTest, public testing::WithParamInterface<Departure> {};

TEST_P(DepartureTest, EndsTheWork) {
  Says(std::string(500, 'x'));
  script_.waits = GetParam().queued;
  HttpClient client(address_);
  client.Post(kChat, ChatBody(GetParam().stream ? R"("stream":true,"n":2)" : R"("n":2)"));
  engine_.AwaitLive(2);
  if (!GetParam().queued) {
    engine_.Step();
    engine_.Step();
    if (GetParam().stream) {
      client.ReadHead();
      client.ReadEvent();
    }
  }
  if (GetParam().leaving == Leaving::kClose) {
    client.Close();
  } else {
    client.Reset();
  }
  // No token and no time passes: the server notices by itself. (The clock moves so that its probes become due.)
  while (engine_.num_cancelled() < 2) {
    clock_.Advance(absl::Milliseconds(300));
    std::this_thread::yield();
  }
  engine_.Step();
  AwaitNothingRuns();
  EXPECT_EQ(engine_.num_useless_cancels(), 0);
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr(R"(tessera_requests_ended_total{engine="0",model_name="model",end="cancelled"} 1)"));
}

INSTANTIATE_TEST_SUITE_P(Phases, DepartureTest,
                         testing::Values(Departure{"CloseQueuedStream", Leaving::kClose, true, true},
                                         Departure{"CloseQueuedWhole", Leaving::kClose, false, true},
                                         Departure{"CloseRunningStream", Leaving::kClose, true, false},
                                         Departure{"CloseRunningWhole", Leaving::kClose, false, false},
                                         Departure{"ResetQueuedStream", Leaving::kReset, true, true},
                                         Departure{"ResetQueuedWhole", Leaving::kReset, false, true},
                                         Departure{"ResetRunningStream", Leaving::kReset, true, false},
                                         Departure{"ResetRunningWhole", Leaving::kReset, false, false}),
                         [](const auto& test_info) { return test_info.param.name; });

TEST_F(HttpApiTest, AHalfCloseIsNoFarewell) {
  Says("x</think>yes");
  script_.waits = true;
  for (const char* stream : {"true", "false"}) {
    HttpClient client(address_);
    client.Post(kChat, ChatBody(std::string(R"("stream":)") + stream));
    engine_.AwaitLive(1);
    client.CloseSending();
    for (int i = 0; i < 20; ++i) clock_.Advance(absl::Milliseconds(300));
    engine_.Release();
    while (engine_.Step(100) > 0) continue;
    const HttpReply reply = client.ReadReply();
    EXPECT_EQ(reply.status, 200);
    EXPECT_THAT(reply.body, HasSubstr("yes"));
  }
  EXPECT_EQ(engine_.num_cancelled(), 0);
}

TEST_F(HttpApiTest, CutsAClientThatDoesNotRead) {
  script_ = {.tokens = std::vector<TokenId>(900, 'x'), .finish = FinishReason::kLength};
  script_.top.assign(20, {65, -1.F});
  HttpClient client(address_);
  // Long events, so that the socket's buffers and the bound are full within the script.
  client.Post(kChat, ChatBody(R"("stream":true,"n":100,"logprobs":true,"top_logprobs":20)"));
  engine_.AwaitSubmitted(100);
  // Until each choice is cancelled or has said all: the server cancels them one by one while the engine goes on.
  while (engine_.Step() > 0) continue;
  AwaitNothingRuns();
  EXPECT_THAT(metrics_.Scrape(), HasSubstr(R"(end="slow_client"} 1)")) << "the whole answer found room somewhere";
}

TEST_F(HttpApiTest, TakesManyConnectionsAtOnce) {
  Says("x</think>y");
  engine_.StartThread();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 64; ++i) {
    clients.push_back(std::make_unique<HttpClient>(address_));
    clients.back()->Post(kChat, ChatBody(i % 2 == 0 ? R"("stream":true)" : ""));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    if (i % 3 == 0) {
      clients[i]->Reset();
    } else {
      EXPECT_EQ(clients[i]->ReadReply().status, 200);
    }
  }
  AwaitNothingRuns();
}

}  // namespace
}  // namespace tessera
