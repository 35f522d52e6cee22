// A server's end and a scheduler's end of the stream, over loopback sockets.
#include "server/groups/remote_engine.h"

#include <grpcpp/grpcpp.h>

#include <future>
#include <memory>
#include <thread>

#include "base/check.h"
#include "base/fake_clock.h"
#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/contract/wire/engine_proto.h"
#include "scheduler/engine_service/engine_service.h"
#include "scheduler/testing/recording_sink.h"
#include "server/groups/group_router.h"
#include "server/groups/testing/fake_group.h"
#include "tessera/internal/v1/engine.grpc.pb.h"

namespace tessera {
namespace {

using testing::HasSubstr;
namespace pb = internal::v1;

constexpr EngineLimits kLimits = {.context_tokens_max = 512,
                                  .cache_tokens_per_rank = 64 * 100,
                                  .vocab_size = 1000,
                                  .num_ranks = 1,
                                  .block_tokens = 64,
                                  .num_blocks_per_rank = 100,
                                  .has_prefix_cache = true};

// Blocks until it is so; a test that waits in vain ends by its time limit.
void AwaitThat(const std::function<bool()>& is_so) {
  while (!is_so()) std::this_thread::yield();
}

// A scheduler process: an engine and its service.
struct Scheduler {
  explicit Scheduler(const FakeModel& model, EngineServiceConfig config = {}, EngineLimits limits = kLimits,
                     const std::string& listen = "127.0.0.1:0")
      : service(Quick(std::move(config)), clock), group(model, limits, service) {
    service.Attach(group);
    auto bound = service.Start(listen, grpc::InsecureServerCredentials());
    TESSERA_CHECK_OK(bound.status());
    address = *bound;
  }
  static EngineServiceConfig Quick(EngineServiceConfig config) {
    config.status_interval = absl::Milliseconds(5);
    return config;
  }

  RealClock clock;
  EngineService service;
  FakeGroup group;
  std::string address;
};

class RemoteEngineTest : public testing::Test {
 protected:
  std::unique_ptr<RemoteEngine> Connect(const std::string& address, TokenSink& sink, RemoteEngineConfig config = {}) {
    config.group_name = address;
    config.backoff_min = absl::Milliseconds(1);
    config.backoff_max = absl::Milliseconds(20);
    return std::make_unique<RemoteEngine>(config, MakeGroupChannel(address, grpc::InsecureChannelCredentials(), ""),
                                          pin_, clock_, sink);
  }
  static Request MakeRequest(int64_t id, int32_t max_tokens = 5) {
    return {.id = {id}, .prompt = {1, 2, 3}, .max_tokens = max_tokens};
  }
  static void AwaitReady(const EnginePort& engine) {
    AwaitThat([&] { return engine.Status().ready; });
  }
  static void Run(FakeGroup& group) {
    while (group.Step() > 0) continue;
  }

  FakeModel model_{{.vocab_size = 1000}};
  RealClock clock_;
  ModelPin pin_;
  RecordingSink sink_;
};

TEST_F(RemoteEngineTest, BringsTheTokensOfTheGroup) {
  Scheduler scheduler(model_);
  const auto engine = Connect(scheduler.address, sink_);
  AwaitReady(*engine);
  EXPECT_EQ(engine->limits(), kLimits);
  Request request = MakeRequest(7, 50);
  request.sampling.num_logprobs = 1;
  ASSERT_THAT(engine->Submit(request), IsOk());
  EXPECT_EQ(engine->Status().num_waiting + engine->Status().num_running, 1) << "seen at once";
  AwaitThat([&] { return scheduler.group.num_live() == 1; });
  Run(scheduler.group);
  sink_.WaitForFinished(1);
  EXPECT_EQ(sink_.Tokens(7), model_.Answer(request));
  EXPECT_EQ(sink_.Of(7).logprobs.size(), 50U);
  EXPECT_EQ(sink_.Finish(7), FinishReason::kLength);
}

TEST_F(RemoteEngineTest, OneStepIsOneMessageForAllRequestsOfAServer) {
  Scheduler scheduler(model_);
  const auto engine = Connect(scheduler.address, sink_);
  AwaitReady(*engine);
  for (int64_t id = 1; id <= 100; ++id) ASSERT_THAT(engine->Submit(MakeRequest(id, 3)), IsOk());
  AwaitThat([&] { return scheduler.group.num_live() == 100; });
  Run(scheduler.group);
  sink_.WaitForFinished(100);
  EXPECT_EQ(sink_.num_batches(), 3U);
}

TEST_F(RemoteEngineTest, ServersDoNotSeeEachOthersRequests) {
  Scheduler scheduler(model_);
  RecordingSink other_sink;
  const auto engine = Connect(scheduler.address, sink_);
  const auto other = Connect(scheduler.address, other_sink);
  AwaitReady(*engine);
  AwaitReady(*other);
  Request mine = MakeRequest(1), theirs = MakeRequest(1);
  theirs.prompt = {9, 9};
  ASSERT_THAT(engine->Submit(mine), IsOk());
  ASSERT_THAT(other->Submit(theirs), IsOk());
  AwaitThat([&] { return scheduler.group.num_live() == 2; });
  AwaitThat([&] { return engine->Status().num_running == 2; });  // the load is that of all servers
  Run(scheduler.group);
  sink_.WaitForFinished(1);
  other_sink.WaitForFinished(1);
  EXPECT_EQ(sink_.Tokens(1), model_.Answer(mine));
  EXPECT_EQ(other_sink.Tokens(1), model_.Answer(theirs));
}

TEST_F(RemoteEngineTest, CancelReachesTheGroup) {
  Scheduler scheduler(model_);
  const auto engine = Connect(scheduler.address, sink_);
  AwaitReady(*engine);
  ASSERT_THAT(engine->Submit(MakeRequest(1, 500)), IsOk());
  engine->Cancel({1});
  engine->Cancel({2});
  AwaitThat([&] { return scheduler.group.num_cancelled() == 1; });
  while (sink_.num_finished() == 0) scheduler.group.Step();
  EXPECT_EQ(sink_.Finish(1), FinishReason::kCancelled);
}

TEST_F(RemoteEngineTest, RefusesAtOnceWhatCanBeKnown) {
  Scheduler scheduler(model_, {.queue_requests_max = 2});
  const auto engine = Connect(scheduler.address, sink_);
  EXPECT_THAT(engine->Submit(MakeRequest(1)), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not connected")));
  AwaitReady(*engine);
  EXPECT_THAT(engine->Submit(MakeRequest(1, 510)), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("512")));
  Request bad = MakeRequest(1);
  bad.prompt = {1000};
  EXPECT_THAT(engine->Submit(bad), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("prompt[0]")));
  ASSERT_THAT(engine->Submit(MakeRequest(1)), IsOk());
  EXPECT_THAT(engine->Submit(MakeRequest(1)), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("id")));
  engine->Drain();
  EXPECT_THAT(engine->Submit(MakeRequest(2)), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("draining")));
}

TEST_F(RemoteEngineTest, ALateRefusalEndsTheRequestWithItsReason) {
  Scheduler scheduler(model_);
  const auto engine = Connect(scheduler.address, sink_);
  AwaitReady(*engine);
  scheduler.group.RefuseSubmitsWith(absl::ResourceExhaustedError("the queue is full"));
  ASSERT_THAT(engine->Submit(MakeRequest(1)), IsOk());
  sink_.WaitForFinished(1);
  EXPECT_THAT(sink_.Of(1).status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("queue is full")));
}

TEST_F(RemoteEngineTest, WhenTheStreamEndsTheServersRequestsAreCancelledWithinAStep) {
  Scheduler scheduler(model_);
  RecordingSink other_sink;
  auto engine = Connect(scheduler.address, sink_);
  const auto other = Connect(scheduler.address, other_sink);
  AwaitReady(*engine);
  AwaitReady(*other);
  for (int64_t id = 1; id <= 5; ++id) ASSERT_THAT(engine->Submit(MakeRequest(id, 500)), IsOk());
  ASSERT_THAT(other->Submit(MakeRequest(1, 3)), IsOk());
  AwaitThat([&] { return scheduler.group.num_live() == 6; });
  engine.reset();
  EXPECT_EQ(sink_.num_finished(), 5U) << "each ends here too";
  AwaitThat([&] {
    if (scheduler.group.num_cancelled() < 5) return false;
    scheduler.group.Step();
    return true;
  });
  EXPECT_EQ(scheduler.group.num_live(), 1) << "the other server's";
  Run(scheduler.group);
  other_sink.WaitForFinished(1);
  EXPECT_EQ(other_sink.Finish(1), FinishReason::kLength);
}

TEST_F(RemoteEngineTest, DetachBringsWhatWasDeliveredAndEndsTheRest) {
  Scheduler scheduler(model_);
  const auto engine = Connect(scheduler.address, sink_);
  AwaitReady(*engine);
  ASSERT_THAT(engine->Submit(MakeRequest(1, 4)), IsOk());
  ASSERT_THAT(engine->Submit(MakeRequest(2, 500)), IsOk());
  AwaitThat([&] { return scheduler.group.num_live() == 2; });
  for (int i = 0; i < 4; ++i) scheduler.group.Step();
  scheduler.service.Detach("the scheduler restarts");
  sink_.WaitForFinished(2);
  EXPECT_EQ(sink_.Finish(1), FinishReason::kLength);
  EXPECT_EQ(sink_.Tokens(2).size(), 4U);
  EXPECT_THAT(sink_.Of(2).status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("the scheduler restarts")));
  EXPECT_FALSE(engine->Status().ready);
  scheduler.service.Attach(scheduler.group);
  AwaitReady(*engine);
}

TEST_F(RemoteEngineTest, AnEngineWithoutLimitsIsRefusedWithItsReason) {
  Scheduler scheduler(model_, {}, EngineLimits());
  scheduler.group.SetReady(false);
  const auto engine = Connect(scheduler.address, sink_);
  AwaitThat([&] { return engine->Status().reason.find("killed") != std::string::npos; });
  EXPECT_EQ(engine->limits(), EngineLimits());
}

TEST_F(RemoteEngineTest, ConnectsInAnyOrderAndAgainAfterARestart) {
  std::string address;
  {
    Scheduler first(model_);
    address = first.address;
  }
  const auto engine = Connect(address, sink_);  // nobody is there
  AwaitThat([&] { return engine->Status().reason != "not connected yet"; });
  auto scheduler = std::make_unique<Scheduler>(model_, EngineServiceConfig(), kLimits, address);
  AwaitReady(*engine);
  ASSERT_THAT(engine->Submit(MakeRequest(1, 500)), IsOk());
  AwaitThat([&] { return scheduler->group.num_live() == 1; });
  for (int i = 0; i < 3; ++i) scheduler->group.Step();
  AwaitThat([&] { return engine->Status().num_generated_tokens == 3; });
  scheduler.reset();
  sink_.WaitForFinished(1);
  EXPECT_EQ(sink_.Of(1).status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(sink_.Tokens(1).size(), 3U);
  scheduler = std::make_unique<Scheduler>(model_, EngineServiceConfig(), kLimits, address);
  AwaitReady(*engine);
  EXPECT_EQ(engine->Status().num_generated_tokens, 3) << "counters go on over a restart";
}

TEST_F(RemoteEngineTest, AnotherModelIsNotUsed) {
  Scheduler one(model_, {.model_fingerprint = [] { return "0123456789abcdef"; }});
  Scheduler other(model_, {.model_fingerprint = [] { return "another"; }});
  const auto engine = Connect(one.address, sink_);
  AwaitReady(*engine);
  const auto misfit = Connect(other.address, sink_);
  AwaitThat([&] { return misfit->Status().reason.find("fingerprint") != std::string::npos; });
  EXPECT_FALSE(misfit->Status().ready);
  const auto wrong_vocabulary = Connect(one.address, sink_, {.vocab_size = 999});
  AwaitThat([&] { return wrong_vocabulary->Status().reason.find("1000 token ids") != std::string::npos; });
}

TEST_F(RemoteEngineTest, AGroupThatFallsSilentIsTakenForGone) {
  FakeClock still;  // the service's clock does not move: it sends no status
  EngineService service({.status_interval = absl::Milliseconds(5)}, still);
  FakeGroup group(model_, kLimits, service);
  service.Attach(group);
  const std::string address = *service.Start("127.0.0.1:0", grpc::InsecureServerCredentials());
  FakeClock clock;
  RemoteEngine engine({.group_name = address}, MakeGroupChannel(address, grpc::InsecureChannelCredentials(), ""), pin_,
                      clock, sink_);
  AwaitReady(engine);
  ASSERT_THAT(engine.Submit(MakeRequest(1, 500)), IsOk());
  AwaitThat([&] { return group.num_live() == 1; });
  AwaitThat([&] {  // one last status may be on its way
    clock.Advance(absl::Seconds(1));
    return sink_.num_finished() == 1;
  });
  EXPECT_THAT(sink_.Of(1).status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("nothing was heard")));
  AwaitThat([&] { return group.num_cancelled() == 1; });
}

// A raw peer, to say what no server of ours would.
class RawServerTest : public RemoteEngineTest {
 protected:
  using Stream = grpc::ClientReaderWriter<pb::ServerMessage, pb::EngineMessage>;
  std::unique_ptr<Stream> Open(const std::string& address) {
    channel_ = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    stub_ = pb::Engine::NewStub(channel_);
    context_ = std::make_unique<grpc::ClientContext>();
    return stub_->Connect(context_.get());
  }
  static pb::ServerMessage Hello() {
    pb::ServerMessage message;
    message.mutable_hello()->set_protocol(1);
    return message;
  }
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::Engine::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
};

TEST_F(RawServerTest, AnotherProtocolVersionIsRefusedWithBothNumbers) {
  Scheduler scheduler(model_);
  const auto stream = Open(scheduler.address);
  pb::ServerMessage hello = Hello();
  hello.mutable_hello()->set_protocol(2);
  stream->Write(hello);
  pb::EngineMessage message;
  EXPECT_FALSE(stream->Read(&message));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("version 2"));
  EXPECT_THAT(status.error_message(), HasSubstr("version 1"));
}

TEST_F(RawServerTest, ASubmitBeforeTheHelloEndsTheStream) {
  Scheduler scheduler(model_);
  const auto stream = Open(scheduler.address);
  pb::ServerMessage submit;
  submit.mutable_submit()->set_id(1);
  stream->Write(submit);
  pb::EngineMessage message;
  EXPECT_FALSE(stream->Read(&message));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(RawServerTest, ABadRequestIsRefusedAndTheStreamGoesOn) {
  Scheduler scheduler(model_);
  const auto stream = Open(scheduler.address);
  stream->Write(Hello());
  for (int64_t id : {5, 6}) {
    pb::ServerMessage submit;
    submit.mutable_submit()->set_id(id);
    submit.mutable_submit()->add_prompt(-7);
    stream->Write(submit);
  }
  int num_refused = 0;
  for (pb::EngineMessage message; num_refused < 2 && stream->Read(&message);) {
    if (!message.has_refused()) continue;
    EXPECT_EQ(message.refused().request(), 5 + num_refused++);
    EXPECT_EQ(message.refused().status().code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(num_refused, 2);
  context_->TryCancel();
  stream->Finish();
}

TEST_F(RawServerTest, AServerThatDoesNotReadIsCutAndOthersAreNotHarmed) {
  Scheduler scheduler(model_, {.unread_bytes_max = 1 << 20});
  const auto engine = Connect(scheduler.address, sink_);
  AwaitReady(*engine);
  const auto stream = Open(scheduler.address);
  stream->Write(Hello());
  pb::ServerMessage submit;
  Request greedy = MakeRequest(1, 5);
  wire::ToProto(greedy, clock_.Now(), *submit.mutable_submit());
  stream->Write(submit);
  AwaitThat([&] { return scheduler.group.num_live() == 1; });
  const RequestId at_the_group = scheduler.group.submitted()[0].id;
  // Much more than the flow control of the connection and the buffer hold; it is never read.
  const std::vector<TokenId> tokens(100'000, 999);
  AwaitThat([&] {
    scheduler.group.Say({.request = at_the_group, .tokens = tokens});
    return scheduler.group.num_cancelled() == 1;
  });
  ASSERT_THAT(engine->Submit(MakeRequest(2, 5)), IsOk());
  AwaitThat([&] { return scheduler.group.num_live() == 2; });
  Run(scheduler.group);
  sink_.WaitForFinished(1);
  EXPECT_EQ(sink_.Finish(2), FinishReason::kLength);
  context_->TryCancel();
  stream->Finish();
}

TEST_F(RemoteEngineTest, ARouterMovesItsStreamsBetweenRealSchedulers) {
  auto first = std::make_unique<Scheduler>(model_);
  auto second = std::make_unique<Scheduler>(model_);
  GroupRouter router({.limits = kLimits}, clock_, sink_,
                     [&](const std::string& name, TokenSink& sink) { return Connect(name, sink); });
  router.SetGroups({first->address, second->address});
  router.Start();
  AwaitThat([&] { return router.Groups()[0].status.ready && router.Groups()[1].status.ready; });
  for (int64_t id = 1; id <= 20; ++id) {
    Request request = MakeRequest(id, 40);
    request.prompt.push_back(static_cast<TokenId>(id));
    ASSERT_THAT(router.Submit(request), IsOk());
  }
  AwaitThat([&] { return first->group.num_live() + second->group.num_live() == 20; });
  EXPECT_EQ(first->group.num_live(), 10);
  for (int i = 0; i < 17; ++i) first->group.Step();
  for (int i = 0; i < 9; ++i) second->group.Step();
  first.reset();
  AwaitThat([&] { return second->group.num_live() == 20; });
  Run(second->group);
  sink_.WaitForFinished(20);
  for (int64_t id = 1; id <= 20; ++id) {
    Request request = MakeRequest(id, 40);
    request.prompt.push_back(static_cast<TokenId>(id));
    EXPECT_EQ(sink_.Tokens(id), model_.Answer(request));
  }
  EXPECT_EQ(router.num_moves(), 10);
  router.Stop();
}

}  // namespace
}  // namespace tessera
