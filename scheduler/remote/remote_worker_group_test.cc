// The scheduler's side against workers whose every word a test says.

#include "scheduler/remote/remote_worker_group.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status_matchers.h"
#include "scheduler/contract/wire/server_stream.h"
#include "scheduler/contract/wire/status_proto.h"

namespace tessera {
namespace {

namespace pb = worker_pb;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A server whose streams are answered by hand. Keeps what it was told.
class ScriptedWorker final : public pb::Worker::CallbackService {
 public:
  using Stream = wire::ServerStream<pb::SchedulerMessage, pb::WorkerMessage>;

  ScriptedWorker() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~ScriptedWorker() override { server_->Shutdown(std::chrono::system_clock::now()); }

  const std::string& address() const { return address_; }

  // The next message of the newest stream.
  pb::SchedulerMessage Await() {
    const MutexLock lock(mutex_);
    while (inbox_.empty()) changed_.Wait(mutex_);
    pb::SchedulerMessage message = std::move(inbox_.front());
    inbox_.pop_front();
    return message;
  }
  // Skips pings.
  pb::SchedulerMessage Await(pb::SchedulerMessage::MessageCase kind) {
    while (true) {
      pb::SchedulerMessage message = Await();
      if (message.message_case() == kind) return message;
      EXPECT_EQ(message.message_case(), pb::SchedulerMessage::kPing);
    }
  }
  int num_streams() {
    const MutexLock lock(mutex_);
    return num_streams_;
  }
  void AwaitClosed(int count) {
    const MutexLock lock(mutex_);
    while (num_closed_ < count) changed_.Wait(mutex_);
  }
  std::shared_ptr<Stream> stream() {
    const MutexLock lock(mutex_);
    return stream_;
  }

  void SayHello(int32_t rank, int32_t num_ranks, const std::string& precision = "bf16") {
    Await(pb::SchedulerMessage::kHello);
    pb::WorkerMessage message;
    wire::ToProto(wire::WorkerHello{.build = "test",
                                    .rank = rank,
                                    .num_ranks = num_ranks,
                                    .model_fingerprint = std::string(16, 'm'),
                                    .settings = {{"precision", precision}},
                                    .limits = {.num_ranks = num_ranks,
                                               .num_blocks = 8,
                                               .block_tokens = 4,
                                               .step_tokens_max = 16,
                                               .sequences_max = 4,
                                               .context_tokens_max = 32,
                                               .vocab_size = 50}},
                  *message.mutable_hello());
    stream()->Send(std::move(message));
  }
  void Beat(bool is_loaded) {
    pb::WorkerMessage message;
    message.mutable_heartbeat()->set_loading_done(is_loaded ? 10 : 4);
    message.mutable_heartbeat()->set_loading_total(10);
    message.mutable_heartbeat()->set_loaded(is_loaded);
    stream()->Send(std::move(message));
  }
  void SayReady() {
    pb::WorkerMessage message;
    message.mutable_ready();
    stream()->Send(std::move(message));
  }
  void SayLeaving() {
    pb::WorkerMessage message;
    message.mutable_leaving();
    stream()->Send(std::move(message));
  }
  void SendResult(int64_t step) {
    pb::WorkerMessage message;
    message.mutable_result()->set_step(step);
    stream()->Send(std::move(message));
  }

  grpc::ServerBidiReactor<pb::SchedulerMessage, pb::WorkerMessage>* Work(
      grpc::CallbackServerContext* context) override {
    auto stream = Stream::Make(context);
    {
      const MutexLock lock(mutex_);
      stream_ = stream;
      inbox_.clear();
      ++num_streams_;
      changed_.NotifyAll();
    }
    stream->Listen(std::make_shared<Ear>(*this));
    return stream->reactor();
  }

 private:
  struct Ear final : wire::StreamListener<pb::SchedulerMessage> {
    explicit Ear(ScriptedWorker& owner) : worker(owner) {}
    void OnMessage(pb::SchedulerMessage& message) override {
      const MutexLock lock(worker.mutex_);
      worker.inbox_.push_back(message);
      worker.changed_.NotifyAll();
    }
    void OnClosed(const absl::Status&) override {
      const MutexLock lock(worker.mutex_);
      ++worker.num_closed_;
      worker.changed_.NotifyAll();
    }
    ScriptedWorker& worker;
  };

  std::string address_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<pb::SchedulerMessage> inbox_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Stream> stream_ ABSL_GUARDED_BY(mutex_);
  int num_streams_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_closed_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<grpc::Server> server_;
};

std::shared_ptr<grpc::Channel> OpenLocal(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

class RemoteWorkerGroupTest : public testing::Test {
 protected:
  ~RemoteWorkerGroupTest() override {
    if (group_ == nullptr) return;
    group_->Break(absl::CancelledError("the test is over"));
    if (connecting_.joinable()) connecting_.join();
    group_->Close();
    EXPECT_EQ(num_broken_, 1);
  }

  void StartConnect() {
    group_ = std::make_unique<RemoteWorkerGroup>(
        options_,
        [this] {
          return std::vector<std::string>{workers_[0].address(), workers_[1].address()};
        },
        OpenLocal, GroupEvents{.on_broken = [this] { ++num_broken_; }, .on_leaving = [this] { ++num_leaving_; }});
    connecting_ = std::thread([this] { connected_ = group_->Connect(); });
  }
  absl::Status Connected() {
    connecting_.join();
    return connected_;
  }
  void BringUp() {
    StartConnect();
    for (int32_t rank : {0, 1}) {
      workers_[rank].SayHello(rank, 2);
      workers_[rank].Beat(/*is_loaded=*/true);
    }
    for (ScriptedWorker& worker : workers_) {
      worker.Await(pb::SchedulerMessage::kBegin);
      worker.SayReady();
    }
    ASSERT_THAT(Connected(), IsOk());
  }
  static std::vector<StepPlan> EmptyPlans(int64_t step) { return {2, {.step = step, .tokens_per_rank = {0, 0}}}; }
  // Until `text` is what the group waits for or why it is broken.
  void AwaitState(const std::string& text) const {
    while (group_->State().find(text) == std::string::npos) std::this_thread::yield();
  }

  RemoteGroupOptions options_{.roster = {.num_ranks = 2}, .build = "test"};
  ScriptedWorker workers_[2];
  std::atomic<int> num_broken_ = 0;
  std::atomic<int> num_leaving_ = 0;
  std::unique_ptr<RemoteWorkerGroup> group_;
  std::thread connecting_;
  absl::Status connected_;
};

TEST_F(RemoteWorkerGroupTest, PassesPlansAndResultsByRankTwoStepsAtATime) {
  BringUp();
  EXPECT_EQ(group_->limits().num_blocks, 8);
  group_->Submit(EmptyPlans(1));
  group_->Submit(EmptyPlans(2));
  for (const size_t rank : {1, 0}) {
    EXPECT_EQ(workers_[rank].Await(pb::SchedulerMessage::kPlan).plan().step(), 1);
    EXPECT_EQ(workers_[rank].Await(pb::SchedulerMessage::kPlan).plan().step(), 2);
    workers_[rank].SendResult(1);
    workers_[rank].SendResult(2);
  }
  for (const int64_t step : {1, 2}) {
    const absl::StatusOr<std::vector<StepResult>> results = group_->Receive();
    ASSERT_THAT(results, IsOk());
    ASSERT_EQ(results->size(), 2U);
    EXPECT_EQ((*results)[0].step, step);
    EXPECT_EQ((*results)[1].step, step);
  }
}

TEST_F(RemoteWorkerGroupTest, ShowsHowFarLoadingIsAndBeginsOnlyWhenAllHaveLoaded) {
  StartConnect();
  workers_[1].SayHello(1, 2);
  workers_[1].Beat(/*is_loaded=*/true);
  workers_[0].SayHello(0, 2);
  workers_[0].Beat(/*is_loaded=*/false);
  AwaitState("1 of 2 workers have loaded; rank 0 at " + workers_[0].address() + ": loading, 40 %");
  workers_[0].Beat(/*is_loaded=*/true);
  workers_[0].Await(pb::SchedulerMessage::kBegin);
  AwaitState("find each other");
}

TEST_F(RemoteWorkerGroupTest, PassesStoreEntriesToEveryOtherRank) {
  StartConnect();
  for (int32_t rank : {0, 1}) {
    workers_[rank].SayHello(rank, 2);
    workers_[rank].Beat(/*is_loaded=*/true);
  }
  workers_[1].Await(pb::SchedulerMessage::kBegin);
  pb::WorkerMessage entry;
  entry.mutable_store_entry()->set_key("exchange/host/1");
  entry.mutable_store_entry()->set_value(std::string("\0\xff", 2));
  workers_[1].stream()->Send(entry);
  workers_[0].Await(pb::SchedulerMessage::kBegin);
  const pb::SchedulerMessage got = workers_[0].Await(pb::SchedulerMessage::kStoreEntry);
  EXPECT_EQ(got.store_entry().key(), "exchange/host/1");
  EXPECT_EQ(got.store_entry().value(), std::string("\0\xff", 2));
}

TEST_F(RemoteWorkerGroupTest, AWorkerThatDoesNotFitIsNamedAndCalledAgain) {
  options_.silence_ticks_max = 1 << 30;
  StartConnect();
  workers_[0].SayHello(0, 2);
  workers_[0].Beat(/*is_loaded=*/true);
  AwaitState("1 of 2");
  workers_[1].SayHello(1, 2, "f32");
  AwaitState("rank 1 at " + workers_[1].address() + ": precision: got f32, wanted bf16 as rank 0 at");
  workers_[1].AwaitClosed(1);
  while (workers_[1].num_streams() < 2) {
    group_->Tick();
    std::this_thread::yield();
  }
  workers_[1].SayHello(1, 2);
  workers_[1].Beat(/*is_loaded=*/true);
  workers_[1].Await(pb::SchedulerMessage::kBegin);
}

TEST_F(RemoteWorkerGroupTest, OneStreamThatEndsIsTheEndOfTheGroup) {
  BringUp();
  group_->Submit(EmptyPlans(1));
  workers_[0].SendResult(1);
  workers_[1].stream()->Finish(absl::UnavailableError("shutting down"));
  EXPECT_THAT(group_->Receive(),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr("rank 1 at " + workers_[1].address()), HasSubstr("shutting down"))));
  workers_[0].AwaitClosed(1);
  EXPECT_EQ(num_broken_, 1);
  group_->Submit(EmptyPlans(2));
  EXPECT_THAT(group_->Receive(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("rank 1"))) << "broken for good";
}

TEST_F(RemoteWorkerGroupTest, AWorkerThatFailsSaysWhy) {
  BringUp();
  group_->Submit(EmptyPlans(1));
  pb::WorkerMessage failed;
  wire::ToProto(absl::InternalError("step 1: device lost"), *failed.mutable_failed()->mutable_status());
  workers_[0].stream()->Send(failed);
  EXPECT_THAT(group_->Receive(),
              StatusIs(absl::StatusCode::kInternal, AllOf(HasSubstr("rank 0 at"), HasSubstr("step 1: device lost"))));
}

TEST_F(RemoteWorkerGroupTest, SilenceForThirtyTicksIsTheEndAndForTwentyNineIsNot) {
  BringUp();
  for (int tick = 0; tick < 29; ++tick) group_->Tick();
  EXPECT_EQ(num_broken_, 0);
  workers_[0].Await(pb::SchedulerMessage::kPing);
  for (int64_t step : {1, 2}) {
    group_->Submit(EmptyPlans(step));
    workers_[0].SendResult(step);
    workers_[1].SendResult(step);
    ASSERT_THAT(group_->Receive(), IsOk());
    for (int tick = 0; tick < 29; ++tick) group_->Tick();
    EXPECT_EQ(num_broken_, 0) << "each word begins the silence anew";
  }
  group_->Tick();
  EXPECT_EQ(num_broken_, 1);
  EXPECT_THAT(group_->State(), HasSubstr("nothing was heard of it"));
}

TEST_F(RemoteWorkerGroupTest, AStepThatNeverEndsIsNoticedThoughTheHeartsBeat) {
  options_.silence_ticks_max = 1 << 30;
  BringUp();
  group_->Submit(EmptyPlans(1));
  workers_[0].SendResult(1);
  workers_[0].SayLeaving();
  while (num_leaving_ == 0) std::this_thread::yield();  // the result before it has been heard
  while (num_broken_ == 0) group_->Tick();
  EXPECT_THAT(group_->Receive(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("rank 1 at " + workers_[1].address())));
}

TEST_F(RemoteWorkerGroupTest, AWorkerThatIsLeavingIsHeardOnce) {
  BringUp();
  workers_[0].SayLeaving();
  workers_[1].SayLeaving();
  group_->Submit(EmptyPlans(1));
  workers_[0].SendResult(1);
  workers_[1].SendResult(1);
  EXPECT_THAT(group_->Receive(), IsOk()) << "what runs may end";
  EXPECT_EQ(num_leaving_, 1);
}

struct BadWord {
  std::string name;
  void (*say)(pb::WorkerMessage&);
  std::string message;
};

class HostileWorkerTest : public RemoteWorkerGroupTest, public testing::WithParamInterface<BadWord> {};

TEST_P(HostileWorkerTest, BreaksTheGroupAndNothingElse) {
  BringUp();
  pb::WorkerMessage message;
  GetParam().say(message);
  workers_[1].stream()->Send(message);
  AwaitState(GetParam().message);
  EXPECT_THAT(group_->State(), HasSubstr("rank 1 at"));
}

INSTANTIATE_TEST_SUITE_P(
    Words, HostileWorkerTest,
    testing::Values(
        BadWord{"Nothing", [](auto&) {}, "sent a message of no known kind"},
        BadWord{"SecondHello", [](auto& message) { message.mutable_hello()->set_protocol_version(9); },
                "protocol_version: got 9"},
        BadWord{"ReadyAgain", [](auto& message) { message.mutable_ready(); }, "sent Ready out of turn"},
        BadWord{"ResultOfNoPlan", [](auto& message) { message.mutable_result()->set_step(1); },
                "sent a result that no plan asked for"},
        BadWord{"ResultOfStepZero", [](auto& message) { message.mutable_result()->set_step(0); },
                "result of step 0: step: got 0"},
        BadWord{"HugeKey", [](auto& message) { message.mutable_store_entry()->set_key(std::string(300, 'k')); },
                "key: bytes: got 300, wanted 1 to 256"},
        BadWord{"NegativeProgress", [](auto& message) { message.mutable_heartbeat()->set_loading_done(-1); },
                "loading_done: got -1"},
        BadWord{"FailedWithoutReason", [](auto& message) { message.mutable_failed(); }, "failed without a reason"}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace tessera
