// Both ends of a stream over a real connection on loopback.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status_matchers.h"
#include "scheduler/contract/wire/client_stream.h"
#include "scheduler/contract/wire/server_stream.h"
#include "tessera/internal/v1/worker.grpc.pb.h"

namespace tessera::wire {
namespace {

namespace pb = ::tessera::internal::v1;
using ClientEnd = ClientStream<pb::SchedulerMessage, pb::WorkerMessage>;
using ServerEnd = ServerStream<pb::SchedulerMessage, pb::WorkerMessage>;

template <typename In>
class Recorder final : public StreamListener<In> {
 public:
  void OnMessage(In& message) override {
    const MutexLock lock(mutex_);
    messages_.push_back(message);
    changed_.NotifyAll();
  }
  void OnClosed(const absl::Status& status) override {
    const MutexLock lock(mutex_);
    closed_ = std::make_unique<absl::Status>(status);
    changed_.NotifyAll();
  }
  std::vector<In> Await(size_t count) {
    const MutexLock lock(mutex_);
    while (messages_.size() < count) changed_.Wait(mutex_);
    return messages_;
  }
  absl::Status AwaitClosed() {
    const MutexLock lock(mutex_);
    while (closed_ == nullptr) changed_.Wait(mutex_);
    return *closed_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<In> messages_;
  std::unique_ptr<absl::Status> closed_;
};

class StreamTest : public testing::Test, public pb::Worker::CallbackService {
 protected:
  StreamTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials());
    stub_ = pb::Worker::NewStub(channel_);
    client_ =
        ClientEnd::Open(at_client_, [this](auto* context, auto* reactor) { stub_->async()->Work(context, reactor); });
    const MutexLock lock(mutex_);
    while (served_ == nullptr) changed_.Wait(mutex_);
  }
  ~StreamTest() override {
    client_->Close();
    static_cast<void>(at_client_->AwaitClosed());
    server_->Shutdown();
  }

  grpc::ServerBidiReactor<pb::SchedulerMessage, pb::WorkerMessage>* Work(
      grpc::CallbackServerContext* context) override {
    auto stream = ServerEnd::Make(context);
    stream->Listen(at_server_);
    const MutexLock lock(mutex_);
    served_ = stream;
    changed_.NotifyAll();
    return stream->reactor();
  }

  static pb::SchedulerMessage Plan(int64_t step) {
    pb::SchedulerMessage message;
    message.mutable_plan()->set_step(step);
    return message;
  }
  static pb::WorkerMessage Result(int64_t step) {
    pb::WorkerMessage message;
    message.mutable_result()->set_step(step);
    return message;
  }

  const std::shared_ptr<Recorder<pb::WorkerMessage>> at_client_ = std::make_shared<Recorder<pb::WorkerMessage>>();
  const std::shared_ptr<Recorder<pb::SchedulerMessage>> at_server_ = std::make_shared<Recorder<pb::SchedulerMessage>>();
  Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<ServerEnd> served_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::Worker::Stub> stub_;
  std::shared_ptr<ClientEnd> client_;
};

TEST_F(StreamTest, MessagesArriveInOrderInBothDirections) {
  constexpr int64_t kCount = 500;
  for (int64_t step = 0; step < kCount; ++step) {
    client_->Send(Plan(step));
    served_->Send(Result(step));
  }
  const auto plans = at_server_->Await(kCount);
  const auto results = at_client_->Await(kCount);
  for (int64_t step = 0; step < kCount; ++step) {
    EXPECT_EQ(plans[static_cast<size_t>(step)].plan().step(), step);
    EXPECT_EQ(results[static_cast<size_t>(step)].result().step(), step);
  }
}

TEST_F(StreamTest, TheServersEndComesAfterWhatItSent) {
  served_->Send(Result(1));
  served_->Finish(absl::FailedPreconditionError("wrong rank"));
  served_->Send(Result(2));
  EXPECT_THAT(at_client_->AwaitClosed(), StatusIs(absl::StatusCode::kFailedPrecondition, testing::Eq("wrong rank")));
  EXPECT_EQ(at_client_->Await(1).size(), 1U);
  EXPECT_THAT(at_server_->AwaitClosed(), StatusIs(absl::StatusCode::kFailedPrecondition, testing::_));
  client_->Send(Plan(1));  // dropped, harmless
}

TEST_F(StreamTest, AClientThatClosesIsNoticedAtOnce) {
  client_->Close();
  static_cast<void>(at_server_->AwaitClosed());  // as an end of the reads or as a cancellation, whichever comes first
  EXPECT_THAT(at_client_->AwaitClosed(), StatusIs(absl::StatusCode::kCancelled, testing::_));
  served_->Send(Result(1));
  served_->Finish(absl::OkStatus());
  served_->Cut(absl::OkStatus());
}

TEST_F(StreamTest, ACutStreamEndsOnBothSides) {
  served_->Cut(absl::UnavailableError("silent"));
  EXPECT_THAT(at_server_->AwaitClosed(), StatusIs(absl::StatusCode::kUnavailable, testing::Eq("silent")));
  EXPECT_FALSE(at_client_->AwaitClosed().ok());
}

}  // namespace
}  // namespace tessera::wire
