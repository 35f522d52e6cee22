// The engine on its own thread, asked from several others. Most useful under the thread sanitizer.

#include <atomic>
#include <thread>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/engine_for_test.h"

namespace tessera {
namespace {

FakeWorkerOptions LongRun() {
  FakeWorkerOptions options;
  options.limits.num_ranks = 2;
  options.limits.num_blocks = 24;
  options.records_plans = false;
  return options;
}

TEST(EngineThreadsTest, AnswersAllWhileManyThreadsSubmitAndCancel) {
  constexpr int64_t kThreads = 4;
  constexpr int64_t kRequestsPerThread = 100;
  EngineForTest engine(LongRun());
  std::thread runner([&] { engine.loop.Run(); });
  std::atomic<bool> is_done = false;
  std::thread watcher([&] {
    while (!is_done) {
      const EngineStatus status = engine.loop.Status();
      EXPECT_GE(status.num_waiting, 0);
      EXPECT_LE(status.num_blocks_used, status.num_blocks_total);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> clients;
  for (int64_t thread = 0; thread < kThreads; ++thread) {
    clients.emplace_back([&engine, thread] {
      for (int64_t i = 0; i < kRequestsPerThread; ++i) {
        const int64_t id = thread * kRequestsPerThread + i;
        EXPECT_THAT(engine.loop.Submit(RequestOf(id, 3 + static_cast<int32_t>(id % 9), 12)), IsOk());
        if (id % 3 == 0) engine.loop.Cancel({id});
        if (id % 7 == 0) engine.loop.Cancel({id / 2});
      }
    });
  }
  for (std::thread& client : clients) client.join();
  engine.sink.WaitForFinished(kThreads * kRequestsPerThread);
  is_done = true;
  watcher.join();
  engine.loop.Stop();
  runner.join();
  for (int64_t id = 0; id < kThreads * kRequestsPerThread; ++id) {
    if (engine.sink.Finish(id) == FinishReason::kCancelled) continue;
    EXPECT_EQ(engine.sink.Tokens(id),
              engine.worker.model().Answer(RequestOf(id, 3 + static_cast<int32_t>(id % 9), 12)));
  }
  EXPECT_EQ(engine.loop.Status().num_finished[static_cast<size_t>(FinishReason::kError)], 0);
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(EngineThreadsTest, EndsOpenRequestsAndLeavesNothingInTheWorkersWhenItStops) {
  FakeWorkerOptions options = LongRun();
  EngineLoop* loop = nullptr;
  options.before_receive = [&loop](int64_t step) {
    if (step == 5) loop->Stop();
  };
  EngineForTest engine(options, {.running_max = 1});
  loop = &engine.loop;
  for (int64_t id = 0; id < 5; ++id) ASSERT_THAT(engine.loop.Submit(RequestOf(id, 3, 80)), IsOk());
  std::thread runner([&] { engine.loop.Run(); });
  runner.join();
  EXPECT_EQ(engine.sink.num_finished(), 5U);
  for (int64_t id = 0; id < 5; ++id) {
    EXPECT_EQ(engine.sink.Finish(id), FinishReason::kError);
    EXPECT_THAT(engine.sink.Of(id).status, StatusIs(absl::StatusCode::kUnavailable, testing::HasSubstr("stopped")));
  }
  EXPECT_THAT(engine.loop.Submit(RequestOf(9, 3, 8)), StatusIs(absl::StatusCode::kUnavailable, testing::_));
  EXPECT_FALSE(engine.loop.Status().ready);
  EXPECT_EQ(engine.loop.Status().reason, "stopped");
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(EngineThreadsTest, StopsWhileItSleeps) {
  EngineForTest engine;
  std::thread runner([&] { engine.loop.Run(); });
  engine.loop.Stop();
  runner.join();
  EXPECT_EQ(engine.worker.num_steps(), 0);
}

TEST(EngineThreadsTest, AnswersRequestsThatComeWhileTheGroupBreaks) {
  FakeWorkerOptions options = LongRun();
  options.break_at_step = 20;
  EngineForTest engine(options, {.queue_requests_max = 16});
  std::thread runner([&] { engine.loop.Run(); });
  size_t num_accepted = 0;
  while (true) {
    const absl::Status status = engine.loop.Submit(RequestOf(static_cast<int64_t>(num_accepted), 3, 8));
    if (status.code() == absl::StatusCode::kUnavailable) break;
    if (status.ok()) ++num_accepted;
    std::this_thread::yield();
  }
  engine.sink.WaitForFinished(num_accepted);
  engine.loop.Stop();
  runner.join();
  EXPECT_EQ(engine.sink.num_finished(), num_accepted);
}

}  // namespace
}  // namespace tessera
