#include "server/session/work_pool.h"

#include <future>
#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace tessera {
namespace {

TEST(WorkPoolTest, RefusesJobsBeyondItsBound) {
  WorkPool pool(1, 2);
  std::promise<void> release;
  ASSERT_TRUE(pool.TryRun([done = release.get_future().share()] { done.wait(); }));
  EXPECT_TRUE(pool.TryRun([] {}));
  EXPECT_FALSE(pool.TryRun([] {}));
  release.set_value();
  while (pool.num_jobs() > 0) std::this_thread::yield();
  EXPECT_TRUE(pool.TryRun([] {}));
}

TEST(WorkPoolTest, AJobStopsCountingWhenWhatItHeldIsGone) {
  WorkPool pool(1, 1);
  for (int round = 0; round < 1000; ++round) {
    auto held = std::make_shared<int>();
    const std::weak_ptr<int> seen = held;
    ASSERT_TRUE(pool.TryRun([held] {}));
    held = nullptr;
    while (pool.num_jobs() > 0) std::this_thread::yield();
    ASSERT_TRUE(seen.expired());
  }
}

TEST(WorkPoolTest, StopLetsGoOfTheJobsThatWait) {
  WorkPool pool(1, 10'000);
  auto held = std::make_shared<int>();
  const std::weak_ptr<int> seen = held;
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(pool.TryRun([held] { std::this_thread::yield(); }));
  held = nullptr;
  pool.Stop();
  EXPECT_TRUE(seen.expired());
  EXPECT_FALSE(pool.TryRun([] {}));
}

}  // namespace
}  // namespace tessera
