#include "scheduler/remote/group_supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/fake_clock.h"
#include "base/status_matchers.h"
#include "scheduler/testing/fake_worker.h"
#include "scheduler/testing/recording_sink.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;

// What a test does to the groups that a supervisor makes, one after the other.
class Stage {
 public:
  // Lets the next group connect, or fail to.
  void Open(absl::Status outcome = absl::OkStatus()) {
    const MutexLock lock(mutex_);
    ++num_open_;
    outcome_ = std::move(outcome);
    changed_.NotifyAll();
  }
  void AwaitGroups(int count) {
    const MutexLock lock(mutex_);
    while (num_made_ < count) changed_.Wait(mutex_);
  }
  void AwaitClosed(int count) {
    const MutexLock lock(mutex_);
    while (num_closed_ < count) changed_.Wait(mutex_);
  }
  // Of the group that is there.
  void Break(const std::string& reason);
  void Leave();
  // From here on a step takes until Release.
  void Hold() { SetHeld(true); }
  void Release() { SetHeld(false); }

 private:
  friend class StagedGroup;
  void SetHeld(bool is_held) {
    const MutexLock lock(mutex_);
    is_held_ = is_held;
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  class StagedGroup* group_ ABSL_GUARDED_BY(mutex_) = nullptr;
  int num_made_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_closed_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_open_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_held_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status outcome_ ABSL_GUARDED_BY(mutex_);
};

class StagedGroup final : public GroupConnection {
 public:
  StagedGroup(Stage& stage, GroupEvents events) : stage_(stage), events_(std::move(events)) {
    const MutexLock lock(stage_.mutex_);
    number_ = ++stage_.num_made_;
    stage_.group_ = this;
    stage_.changed_.NotifyAll();
  }

  absl::Status Connect() override {
    const MutexLock lock(stage_.mutex_);
    while (broken_.ok() && stage_.num_open_ < number_) stage_.changed_.Wait(stage_.mutex_);
    return broken_.ok() ? stage_.outcome_ : broken_;
  }
  void Break(const absl::Status& reason) override {
    {
      const MutexLock lock(stage_.mutex_);
      if (!broken_.ok()) return;
      broken_ = reason;
      stage_.changed_.NotifyAll();
    }
    events_.on_broken();
  }
  void Close() override {
    Break(absl::CancelledError("closed"));
    const MutexLock lock(stage_.mutex_);
    if (stage_.group_ != this) return;
    stage_.group_ = nullptr;
    ++stage_.num_closed_;
    stage_.changed_.NotifyAll();
  }
  void Tick() override {}
  std::string model_fingerprint() const override { return std::string(16, 'm'); }
  std::string State() const override {
    const MutexLock lock(stage_.mutex_);
    return broken_.ok() ? "1 of 2 workers have loaded" : std::string(broken_.message());
  }
  const WorkerLimits& limits() const override { return worker_.limits(); }
  void Submit(std::vector<StepPlan> plans) override { worker_.Submit(std::move(plans)); }
  absl::StatusOr<std::vector<StepResult>> Receive() override {
    {
      const MutexLock lock(stage_.mutex_);
      while (broken_.ok() && stage_.is_held_) stage_.changed_.Wait(stage_.mutex_);
      if (!broken_.ok()) return broken_;
    }
    return worker_.Receive();
  }
  const GroupEvents& events() const { return events_; }

 private:
  Stage& stage_;
  const GroupEvents events_;
  int number_ = 0;
  absl::Status broken_;  // guarded by the stage's mutex
  FakeWorker worker_;
};

void Stage::Break(const std::string& reason) {
  StagedGroup* group = nullptr;
  {
    const MutexLock lock(mutex_);
    group = group_;
  }
  group->Break(absl::UnavailableError(reason));
}

void Stage::Leave() {
  StagedGroup* group = nullptr;
  {
    const MutexLock lock(mutex_);
    group = group_;
  }
  group->events().on_leaving();
}

class GroupSupervisorTest : public testing::Test {
 protected:
  ~GroupSupervisorTest() override { supervisor_.Stop(); }

  static Request RequestOf(int64_t id, int32_t max_tokens) {
    return {.id = {id}, .prompt = {1, 2, 3}, .max_tokens = max_tokens};
  }
  void AwaitReady(bool is_ready) const {
    while (supervisor_.Status().ready != is_ready) std::this_thread::yield();
  }
  // Two ticks are the shortest time between two epochs.
  void LetTimePass() {
    supervisor_.Tick();
    supervisor_.Tick();
  }

  FakeClock clock_;
  RecordingSink sink_;
  Stage stage_;
  GroupSupervisor supervisor_{{}, clock_, sink_, [this](GroupEvents events) {
                                return std::make_unique<StagedGroup>(stage_, std::move(events));
                              }};
};

TEST_F(GroupSupervisorTest, IsReadyOnlyAfterAForwardPassOfTheWholeGroup) {
  EXPECT_FALSE(supervisor_.Status().ready);
  EXPECT_EQ(supervisor_.limits().vocab_size, 0);
  stage_.Hold();
  supervisor_.Start();
  stage_.AwaitGroups(1);
  EXPECT_FALSE(supervisor_.Status().ready);
  EXPECT_THAT(supervisor_.Submit(RequestOf(1, 4)), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not ready")));
  stage_.Open();
  EXPECT_FALSE(supervisor_.Status().ready) << "connected, but no step has come back yet";
  stage_.Release();
  AwaitReady(true);
  EXPECT_EQ(supervisor_.limits().vocab_size, 1000);
  EXPECT_EQ(supervisor_.model_fingerprint(), std::string(16, 'm'));
  ASSERT_THAT(supervisor_.Submit(RequestOf(2, 4)), IsOk());
  sink_.WaitForFinished(1);
  EXPECT_EQ(sink_.Tokens(2).size(), 4U);
  EXPECT_EQ(supervisor_.Status().num_refused, 1);
}

TEST_F(GroupSupervisorTest, ABrokenGroupEndsItsRequestsAndTheNextOneTakesNewOnes) {
  supervisor_.Start();
  stage_.Open();
  AwaitReady(true);
  ASSERT_THAT(supervisor_.Submit(RequestOf(1, 3)), IsOk());
  sink_.WaitForFinished(1);
  stage_.Hold();
  ASSERT_THAT(supervisor_.Submit(RequestOf(2, 30)), IsOk());
  stage_.Break("rank 1 at b:1: connection lost");
  sink_.WaitForFinished(2);
  EXPECT_THAT(sink_.Of(2).status, StatusIs(absl::StatusCode::kUnavailable, testing::_));
  stage_.AwaitGroups(2);
  while (supervisor_.Status().reason != "1 of 2 workers have loaded") std::this_thread::yield();
  const EngineStatus between = supervisor_.Status();
  EXPECT_FALSE(between.ready);
  EXPECT_GE(between.num_generated_tokens, 3) << "counters only grow";
  stage_.Release();
  stage_.Open();
  AwaitReady(true);
  ASSERT_THAT(supervisor_.Submit(RequestOf(3, 3)), IsOk());
  sink_.WaitForFinished(3);
  const EngineStatus after = supervisor_.Status();
  EXPECT_GE(after.num_generated_tokens, between.num_generated_tokens + 3);
  EXPECT_GT(after.num_steps, between.num_steps);
  EXPECT_EQ(after.num_finished[static_cast<size_t>(FinishReason::kError)], 1);
}

TEST_F(GroupSupervisorTest, AnIdleGroupThatBreaksIsNoticedWithoutARequest) {
  supervisor_.Start();
  stage_.Open();
  AwaitReady(true);
  stage_.Break("cut");
  stage_.AwaitGroups(2);
  EXPECT_FALSE(supervisor_.Status().ready);
}

TEST_F(GroupSupervisorTest, AGroupThatCannotConnectIsTriedAgainAfterAWhile) {
  supervisor_.Start();
  stage_.Open(absl::DeadlineExceededError("the ranks did not find each other"));
  stage_.AwaitClosed(1);
  while (supervisor_.Status().reason != "the ranks did not find each other") std::this_thread::yield();
  stage_.Open();
  while (!supervisor_.Status().ready) LetTimePass();
}

TEST_F(GroupSupervisorTest, AGroupThatIsLeavingFinishesWhatRunsAndTakesNothingNew) {
  supervisor_.Start();
  stage_.Open();
  AwaitReady(true);
  stage_.Hold();
  ASSERT_THAT(supervisor_.Submit(RequestOf(1, 8)), IsOk());
  stage_.Leave();
  EXPECT_FALSE(supervisor_.Status().ready);
  EXPECT_THAT(supervisor_.Submit(RequestOf(2, 8)), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("draining")));
  for (int i = 0; i < 10; ++i) supervisor_.Tick();
  stage_.Release();
  sink_.WaitForFinished(1);
  EXPECT_EQ(sink_.Tokens(1).size(), 8U);
  EXPECT_EQ(sink_.Finish(1), FinishReason::kLength);
  while (supervisor_.Status().num_running > 0) std::this_thread::yield();
  LetTimePass();
  stage_.AwaitGroups(2);
  stage_.Open();
  AwaitReady(true);
  EXPECT_THAT(supervisor_.Submit(RequestOf(3, 8)), IsOk()) << "the next group takes requests again";
}

TEST_F(GroupSupervisorTest, StopsWhileItConnectsAndWhileItServes) {
  GroupSupervisor connecting({}, clock_, sink_, [this](GroupEvents events) {
    return std::make_unique<StagedGroup>(stage_, std::move(events));
  });
  connecting.Start();
  stage_.AwaitGroups(1);
  connecting.Stop();
  stage_.Open();
  stage_.Open();
  supervisor_.Start();
  AwaitReady(true);
  stage_.Hold();
  ASSERT_THAT(supervisor_.Submit(RequestOf(1, 8)), IsOk());
  stage_.Release();
  supervisor_.Stop();
  EXPECT_EQ(sink_.num_finished(), 1U);
  EXPECT_FALSE(supervisor_.Status().ready);
}

TEST_F(GroupSupervisorTest, ADrainOutlastsTheGroup) {
  supervisor_.Start();
  stage_.Open();
  AwaitReady(true);
  supervisor_.Drain();
  stage_.Break("cut");
  stage_.AwaitGroups(2);
  stage_.Open();
  while (supervisor_.Status().reason != "draining") std::this_thread::yield();
  EXPECT_THAT(supervisor_.Submit(RequestOf(1, 8)), StatusIs(absl::StatusCode::kUnavailable, testing::_));
}

}  // namespace
}  // namespace tessera
