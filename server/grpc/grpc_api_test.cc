// The gRPC API over real sockets, with an engine that says what each test has scripted.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/grpc/grpc_server.h"
#include "server/testing/scripted_service.h"

namespace tessera {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

// What came of one Generate call.
struct Outcome {
  grpc::Status status;
  std::string text, reasoning;
  v1::FinishReason finish = v1::FINISH_REASON_UNSPECIFIED;
  v1::Usage usage;
  std::vector<v1::GenerateEvent> events;
};

class GrpcApiTest : public ScriptedServiceTest {
 protected:
  explicit GrpcApiTest(std::vector<std::string> keys = {})
      : server_({.message_bytes_max = 1 << 20, .api_keys = std::move(keys)}, service_, work_, access_log_) {
    channel_ = grpc::CreateChannel(*server_.Start("127.0.0.1:0"), grpc::InsecureChannelCredentials());
    stub_ = v1::Tessera::NewStub(channel_);
  }
  void StopTransport() override { server_.Stop(); }

  static v1::GenerateRequest Chat() {
    v1::GenerateRequest request;
    v1::ChatMessage& message = *request.mutable_chat()->add_messages();
    message.set_role("user");
    message.set_content("q");
    return request;
  }
  Outcome Generate(const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    return Read(context, *stub_->Generate(&context, request));
  }
  static Outcome Read(grpc::ClientContext&, grpc::ClientReader<v1::GenerateEvent>& reader) {
    Outcome outcome;
    v1::GenerateEvent event;
    while (reader.Read(&event)) {
      outcome.text += event.delta().text();
      outcome.reasoning += event.delta().reasoning();
      if (event.delta().finish_reason() != 0) outcome.finish = event.delta().finish_reason();
      if (event.has_usage()) outcome.usage = event.usage();
      outcome.events.push_back(event);
    }
    outcome.status = reader.Finish();
    return outcome;
  }

  GrpcServer server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Tessera::Stub> stub_;
};

TEST_F(GrpcApiTest, StreamsAChat) {
  Says("why</think>삼겹살 👩‍💻");
  engine_.StartThread();
  v1::GenerateRequest request = Chat();
  request.set_logprobs(0);
  request.set_return_token_ids(true);
  request.set_request_id("r1");
  const Outcome outcome = Generate(request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.reasoning, "why");
  EXPECT_EQ(outcome.text, "삼겹살 👩‍💻");
  EXPECT_EQ(outcome.finish, v1::FINISH_REASON_STOP);
  EXPECT_EQ(outcome.usage.completion_tokens(), static_cast<int64_t>(script_.tokens.size()));
  EXPECT_EQ(outcome.usage.reasoning_tokens(), 4);
  EXPECT_EQ(outcome.events.front().started().request_id(), "r1");
  EXPECT_EQ(outcome.events.front().started().prompt_token_ids_size(), outcome.usage.prompt_tokens());
  int num_ids = 0, num_logprobs = 0;
  for (const v1::GenerateEvent& event : outcome.events) {
    num_ids += event.delta().token_ids_size();
    num_logprobs += event.delta().logprobs_size();
  }
  EXPECT_EQ(num_ids, static_cast<int>(script_.tokens.size()));
  EXPECT_EQ(num_logprobs, num_ids);
}

TEST_F(GrpcApiTest, CutsBeforeAStopAndNamesIt) {
  Says("ABCDEF", FinishReason::kLength);
  engine_.StartThread();
  v1::GenerateRequest request;
  request.mutable_text()->set_text("x");
  request.add_stop("CDE");
  const Outcome outcome = Generate(request);
  EXPECT_EQ(outcome.text, "AB");
  EXPECT_EQ(outcome.finish, v1::FINISH_REASON_STOP);
  EXPECT_EQ(outcome.events[outcome.events.size() - 2].delta().matched_stop(), "CDE");
}

TEST_F(GrpcApiTest, RefusesWithTheFieldsName) {
  const auto refuse = [&](const v1::GenerateRequest& request, StatusCode code, const char* message) {
    const Outcome outcome = Generate(request);
    EXPECT_EQ(outcome.status.error_code(), code) << outcome.status.error_message();
    EXPECT_THAT(outcome.status.error_message(), HasSubstr(message));
    EXPECT_TRUE(outcome.events.empty()) << "refused before anything was sent";
  };
  refuse({}, StatusCode::INVALID_ARGUMENT, "prompt: got none");
  v1::GenerateRequest request = Chat();
  request.mutable_sampling()->set_top_p(7);
  refuse(request, StatusCode::INVALID_ARGUMENT, "top_p: got 7");
  request = Chat();
  request.set_max_tokens(-1);
  refuse(request, StatusCode::INVALID_ARGUMENT, "max_tokens: got -1");
  request = Chat();
  request.set_model("other");
  refuse(request, StatusCode::NOT_FOUND, "model: got 'other'");
  request = Chat();
  request.mutable_chat()->set_tool_choice("required");
  refuse(request, StatusCode::UNIMPLEMENTED, "tool_choice");
  request = Chat();
  v1::Tool& tool = *request.mutable_chat()->add_tools();
  tool.set_name("f");
  tool.set_parameters_json(std::string(100'000, '['));
  refuse(request, StatusCode::INVALID_ARGUMENT, "nested deeper than 64");
  request.Clear();
  request.mutable_tokens()->mutable_ids()->Resize(1000, 5);
  refuse(request, StatusCode::OUT_OF_RANGE, "got 1000 tokens, wanted at most 999");
  engine_.RefuseWith(absl::ResourceExhaustedError("queue full"));
  refuse(Chat(), StatusCode::RESOURCE_EXHAUSTED, "queue full");
  request = Chat();
  request.mutable_chat()->mutable_messages(0)->set_content(std::string(2 << 20, 'x'));
  refuse(request, StatusCode::RESOURCE_EXHAUSTED, "larger than max");
}

TEST_F(GrpcApiTest, EndsWithTheFailureOfARunningRequest) {
  Says("a</think>bcdef", FinishReason::kError);
  script_.status = absl::InternalError("not finite");
  engine_.StartThread();
  const Outcome outcome = Generate(Chat());
  EXPECT_EQ(outcome.status.error_code(), StatusCode::INTERNAL);
  EXPECT_EQ(outcome.text, "bcde");
}

TEST_F(GrpcApiTest, ACancelledCallEndsTheWork) {
  for (const bool queued : {true, false}) {
    Says(std::string(500, 'x'));
    script_.waits = queued;
    grpc::ClientContext context;
    const auto reader = stub_->Generate(&context, Chat());
    engine_.AwaitLive(1);
    if (!queued) engine_.Step();
    context.TryCancel();
    EXPECT_EQ(Read(context, *reader).status.error_code(), StatusCode::CANCELLED);
    ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
    engine_.Step();
    EXPECT_EQ(engine_.num_live(), 0);
  }
  EXPECT_EQ(engine_.num_cancelled(), 2);
  EXPECT_EQ(engine_.num_useless_cancels(), 0);
}

TEST_F(GrpcApiTest, TheDeadlineOfTheCallIsTheRequests) {
  Says("x");
  script_.waits = true;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::hours(1));
  const auto reader = stub_->Generate(&context, Chat());
  engine_.AwaitLive(1);
  const absl::Duration left = engine_.submitted().front().deadline - clock_.Now();
  EXPECT_GT(left, absl::Minutes(55));
  EXPECT_LE(left, absl::Minutes(61)) << "gRPC rounds up on the wire";
  context.TryCancel();
  Read(context, *reader);
}

TEST_F(GrpcApiTest, AnExpiredDeadlineEndsTheWork) {
  Says("x");
  script_.waits = true;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  EXPECT_EQ(Read(context, *stub_->Generate(&context, Chat())).status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  engine_.Step();
  EXPECT_EQ(engine_.num_live(), 0);
}

TEST_F(GrpcApiTest, LogsEachCallOnce) {
  Says("x</think>secret", FinishReason::kLength);
  engine_.StartThread();
  v1::GenerateRequest request = Chat();
  request.set_request_id("r 1");
  EXPECT_TRUE(Generate(request).status.ok());
  EXPECT_THAT(
      AwaitAccessLines(1).back(),
      MatchesRegex("request id=r\\?1 client=ipv4:127.0.0.1:[0-9]+ method=gRPC "
                   "route=/tessera.v1.Tessera/Generate status=OK total_ms=[0-9.]+ end=length prompt_tokens=[0-9]+ "
                   "completion_tokens=8 queue_ms=- ttft_ms=[0-9.]+\n"));
  EXPECT_EQ(Generate({}).status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(AwaitAccessLines(2).back(), HasSubstr("status=INVALID_ARGUMENT"));
  grpc::ClientContext context;
  v1::GetModelResponse model;
  ASSERT_TRUE(stub_->GetModel(&context, {}, &model).ok());
  EXPECT_THAT(AwaitAccessLines(3).back(), HasSubstr("route=/tessera.v1.Tessera/GetModel status=OK"));
}

TEST_F(GrpcApiTest, TokenizesAndDescribesTheModel) {
  v1::TokenizeRequest tokenize;
  tokenize.mutable_text()->set_text("é");
  tokenize.mutable_text()->set_add_special_tokens(false);
  v1::TokenizeResponse tokens;
  grpc::ClientContext first, second, third;
  ASSERT_TRUE(stub_->Tokenize(&first, tokenize, &tokens).ok());
  EXPECT_THAT(tokens.token_ids(), ElementsAre(0xC3, 0xA9));
  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_token_ids() = tokens.token_ids();
  v1::DetokenizeResponse text;
  ASSERT_TRUE(stub_->Detokenize(&second, detokenize, &text).ok());
  EXPECT_EQ(text.text(), "é");
  v1::GetModelResponse model;
  ASSERT_TRUE(stub_->GetModel(&third, {}, &model).ok());
  EXPECT_EQ(model.name(), "model");
  EXPECT_EQ(model.chat_format(), "r1");
  EXPECT_TRUE(model.ready());
}

TEST_F(GrpcApiTest, HealthFollowsReadiness) {
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  grpc::ClientContext context;
  const auto watch = health->Watch(&context, {});
  grpc::health::v1::HealthCheckResponse response;
  const auto await = [&](grpc::health::v1::HealthCheckResponse::ServingStatus status) {
    while (response.status() != status) ASSERT_TRUE(watch->Read(&response));
  };
  await(grpc::health::v1::HealthCheckResponse::SERVING);
  engine_.SetReady(false);
  await(grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  engine_.SetReady(true);
  await(grpc::health::v1::HealthCheckResponse::SERVING);
  service_.Drain();
  await(grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  context.TryCancel();
}

grpc::reflection::v1alpha::ServerReflectionResponse Reflect(
    const std::shared_ptr<grpc::Channel>& channel, const grpc::reflection::v1alpha::ServerReflectionRequest& request,
    grpc::Status& status) {
  const auto stub = grpc::reflection::v1alpha::ServerReflection::NewStub(channel);
  grpc::ClientContext context;
  const auto stream = stub->ServerReflectionInfo(&context);
  grpc::reflection::v1alpha::ServerReflectionResponse response;
  stream->Write(request);
  stream->Read(&response);
  stream->WritesDone();
  status = stream->Finish();
  return response;
}

TEST_F(GrpcApiTest, ReflectionDescribesEveryService) {
  grpc::Status status;
  grpc::reflection::v1alpha::ServerReflectionRequest request;
  request.set_list_services("");
  std::vector<std::string> names;
  const auto listed = Reflect(channel_, request, status);
  for (const auto& service : listed.list_services_response().service()) names.push_back(service.name());
  EXPECT_THAT(names,
              ElementsAre("tessera.v1.Tessera", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"));
  for (const std::string& name : names) {
    request.set_file_containing_symbol(name);
    EXPECT_GT(Reflect(channel_, request, status).file_descriptor_response().file_descriptor_proto_size(), 0) << name;
  }
  request.set_file_containing_symbol("no.Such");
  EXPECT_EQ(Reflect(channel_, request, status).error_response().error_code(), StatusCode::NOT_FOUND);
}

class GuardedGrpcApiTest : public GrpcApiTest {
 protected:
  GuardedGrpcApiTest() : GrpcApiTest({"secret"}) {}
};

TEST_F(GuardedGrpcApiTest, OpensNothingWithoutAKeyButHealth) {
  EXPECT_EQ(Generate(Chat()).status.error_code(), StatusCode::UNAUTHENTICATED);
  grpc::ClientContext first, second, third, fourth;
  v1::TokenizeResponse tokens;
  EXPECT_EQ(stub_->Tokenize(&first, {}, &tokens).error_code(), StatusCode::UNAUTHENTICATED);
  v1::DetokenizeResponse text;
  EXPECT_EQ(stub_->Detokenize(&second, {}, &text).error_code(), StatusCode::UNAUTHENTICATED);
  v1::GetModelResponse model;
  EXPECT_EQ(stub_->GetModel(&third, {}, &model).error_code(), StatusCode::UNAUTHENTICATED);
  fourth.AddMetadata("authorization", "Bearer secret");
  EXPECT_TRUE(stub_->GetModel(&fourth, {}, &model).ok());
  grpc::Status status;
  grpc::reflection::v1alpha::ServerReflectionRequest request;
  request.set_list_services("");
  Reflect(channel_, request, status);
  EXPECT_EQ(status.error_code(), StatusCode::UNAUTHENTICATED);
  grpc::ClientContext fifth;
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_TRUE(grpc::health::v1::Health::NewStub(channel_)->Check(&fifth, {}, &response).ok());
}

}  // namespace
}  // namespace tessera
