#include "kernels/cpu/thread_pool.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera::cpu {
namespace {

TEST(ThreadPoolTest, RunsEachItemOnceForAnyCount) {
  for (const int num_threads : {1, 2, 5}) {
    ThreadPool pool({.num_threads = num_threads, .pin = num_threads == 2});
    for (const int64_t count : {0, 1, 2, 3, 1000}) {
      std::vector<int> runs(static_cast<size_t>(count));
      pool.ParallelFor(count, [&](int64_t item, int) { ++runs[static_cast<size_t>(item)]; });
      EXPECT_THAT(runs, testing::Each(1)) << num_threads << " threads, " << count << " items";
    }
  }
}

TEST(ThreadPoolTest, NamesThreadsBelowTheirNumber) {
  ThreadPool pool({.num_threads = 3});
  std::vector<int> threads(500);
  pool.ParallelFor(500, [&](int64_t item, int thread) { threads[static_cast<size_t>(item)] = thread; });
  EXPECT_THAT(threads, testing::Each(testing::AllOf(testing::Ge(0), testing::Lt(pool.num_threads()))));
}

TEST(ThreadPoolTest, ItemsSeeWhatTheCallerWroteAndTheCallerSeesWhatTheyWrote) {
  ThreadPool pool({.num_threads = 4});
  std::vector<int64_t> values(64);
  for (int64_t round = 1; round <= 2000; ++round) {
    pool.ParallelFor(64, [&](int64_t item, int) { values[static_cast<size_t>(item)] += round; });
    ASSERT_EQ(*std::min_element(values.begin(), values.end()), round * (round + 1) / 2);
  }
}

TEST(ThreadPoolTest, ALoopThatFollowsAShorterOneRunsEachItemOnce) {
  ThreadPool pool({.num_threads = 4});
  std::vector<int> runs(40);
  for (int round = 1; round <= 3000; ++round) {
    const int64_t count = 2 + round % 39;
    std::fill(runs.begin(), runs.end(), 0);
    pool.ParallelFor(count, [&](int64_t item, int) { ++runs[static_cast<size_t>(item)]; });
    for (int64_t item = 0; item < 40; ++item) ASSERT_EQ(runs[static_cast<size_t>(item)], item < count ? 1 : 0) << round;
  }
}

TEST(ThreadPoolTest, OneThreadRunsItemsInOrderOnTheCallersThread) {
  ThreadPool pool({.num_threads = 1});
  std::vector<int64_t> order;
  const std::thread::id caller = std::this_thread::get_id();
  pool.ParallelFor(5, [&](int64_t item, int) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    order.push_back(item);
  });
  EXPECT_THAT(order, testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST(ThreadPoolTest, WorkersThatFellAsleepWakeForTheNextLoop) {
  ThreadPool pool({.num_threads = 3});
  for (int round = 0; round < 20; ++round) {
    // A loop whose items outlast the spinning of threads without one.
    std::atomic<int64_t> work{0};
    pool.ParallelFor(4, [&](int64_t item, int) {
      if (item == 0) {
        for (int i = 0; i < 200'000; ++i) work.fetch_add(1);
      }
      work.fetch_add(1);
    });
    ASSERT_EQ(work.load(), 200'004);
  }
}

TEST(ThreadPoolTest, SeveralPoolsWorkAtATime) {
  ThreadPool outer({.num_threads = 3});
  std::vector<int64_t> sums(6);
  outer.ParallelFor(6, [&](int64_t item, int) {
    ThreadPool inner({.num_threads = 2});
    std::atomic<int64_t> sum{0};
    inner.ParallelFor(100, [&](int64_t i, int) { sum.fetch_add(i); });
    sums[static_cast<size_t>(item)] = sum.load();
  });
  EXPECT_THAT(sums, testing::Each(4950));
}

}  // namespace
}  // namespace tessera::cpu
