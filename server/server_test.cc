#include "server/server.h"

#include <grpcpp/grpcpp.h>

#include <thread>

#include "base/fake_clock.h"
#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/testing/fake_engine.h"
#include "server/testing/http_client.h"
#include "server/testing/test_tokenizer.h"
#include "tessera/v1/serve.grpc.pb.h"

namespace tessera {
namespace {

using testing::HasSubstr;

class ServerTest : public testing::Test {
 protected:
  void StartServer() {
    server_ = *Server::Create({.service = {.eos_tokens = {257}}}, *tokenizer_, format_, engine_, clock_);
    engine_.SetSink(&server_->token_sink());
    addresses_ = *server_->Start("127.0.0.1:0", "127.0.0.1:0");
  }
  ~ServerTest() override { engine_.StopThread(); }

  static std::string Body() { return R"({"prompt":"q","stream":true})"; }

  std::unique_ptr<const Tokenizer> tokenizer_ = MakeTestTokenizer();
  ChatFormat format_ = MakeTestChatFormat(*tokenizer_, "v3");
  FakeClock clock_;
  FakeEngine engine_{FakeEngine::DefaultLimits(), [this](const Request&) {
                       return Script{.tokens = Spell(*tokenizer_, "abc"), .finish = FinishReason::kLength};
                     }};
  std::unique_ptr<Server> server_;
  Server::Addresses addresses_;
};

TEST_F(ServerTest, ServesTheSameAnswerOnBothTransports) {
  StartServer();
  engine_.StartThread();
  HttpClient client(addresses_.http);
  client.Post("/v1/completions", R"({"prompt":"q"})");
  EXPECT_THAT(client.ReadReply().body, HasSubstr("\"text\":\"abc\""));
  const auto stub = v1::Tessera::NewStub(grpc::CreateChannel(addresses_.grpc, grpc::InsecureChannelCredentials()));
  v1::GenerateRequest request;
  request.mutable_text()->set_text("q");
  grpc::ClientContext context;
  const auto reader = stub->Generate(&context, request);
  std::string text;
  for (v1::GenerateEvent event; reader->Read(&event);) text += event.delta().text();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(text, "abc");
}

TEST_F(ServerTest, DrainRefusesNewWorkAndLetsStreamsEnd) {
  StartServer();
  HttpClient running(addresses_.http), other(addresses_.http);
  running.Post("/v1/completions", Body());
  engine_.AwaitLive(1);
  server_->Drain();
  other.Get("/ready");
  EXPECT_EQ(other.ReadReply().status, 503);
  other.Get("/health");
  EXPECT_EQ(other.ReadReply().status, 200);
  other.Post("/v1/completions", Body());
  const HttpReply refused = other.ReadReply();
  EXPECT_EQ(refused.status, 503);
  EXPECT_TRUE(refused.headers.contains("retry-after"));
  bool all_ended = false;
  std::thread stopper([&] { all_ended = server_->Stop(absl::Seconds(60)); });
  while (engine_.Step() > 0) continue;
  const HttpReply reply = running.ReadReply();
  stopper.join();
  EXPECT_TRUE(all_ended);
  EXPECT_TRUE(reply.is_complete);
  EXPECT_THAT(reply.body, HasSubstr("[DONE]"));
}

TEST_F(ServerTest, StopFailsWhatOutlivesTheGrace) {
  StartServer();
  HttpClient running(addresses_.http);
  running.Post("/v1/completions", Body());
  engine_.AwaitLive(1);
  engine_.Step();
  EXPECT_FALSE(server_->Stop(absl::ZeroDuration()));
  const HttpReply reply = running.ReadReply();
  EXPECT_THAT(reply.body, HasSubstr("shutting down"));
  EXPECT_EQ(engine_.num_cancelled(), 1);
}

TEST_F(ServerTest, RefusesABadAddressOrConfig) {
  EXPECT_THAT(Server::Create({.num_prompt_threads = 0}, *tokenizer_, format_, engine_, clock_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_prompt_threads")));
  StartServer();
  auto second = *Server::Create({}, *tokenizer_, format_, engine_, clock_);
  EXPECT_THAT(second->Start(addresses_.http, ""), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cannot listen")));
  auto third = *Server::Create({}, *tokenizer_, format_, engine_, clock_);
  EXPECT_THAT(third->Start("nowhere", ""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("HOST:PORT")));
}

}  // namespace
}  // namespace tessera
