#include "worker/exchange/rank_barrier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(RankBarrierTest, LetsNobodyPassBeforeTheLastHasCome) {
  constexpr int kRanks = 4;
  RankBarrier barrier(kRanks, absl::Seconds(60));
  std::vector<int> written(kRanks, 0);  // plain memory: the barrier alone orders it
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank) {
    threads.emplace_back([&, rank] {
      for (int meeting = 0; meeting < 50; meeting += 2) {
        written[static_cast<size_t>(rank)] = meeting;
        EXPECT_THAT(barrier.Meet(rank, {.step = 1, .meeting = meeting}), IsOk());
        for (const int other : written) EXPECT_EQ(other, meeting);
        EXPECT_THAT(barrier.Meet(rank, {.step = 1, .meeting = meeting + 1}), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(RankBarrierTest, NamesTheRankThatDidNotCome) {
  RankBarrier barrier(2, absl::Milliseconds(20));
  EXPECT_THAT(barrier.Meet(0, {.step = 7, .meeting = 3}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, AllOf(HasSubstr("step 7"), HasSubstr("rank 1"))));
  EXPECT_THAT(barrier.Meet(1, {.step = 7, .meeting = 3}), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("")))
      << "a broken group stays broken for the rank that comes late";
}

TEST(RankBarrierTest, AnAbortWakesThoseWhoWait) {
  RankBarrier barrier(3, absl::Seconds(60));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      EXPECT_THAT(barrier.Meet(rank, {.step = 5}),
                  StatusIs(absl::StatusCode::kInternal, HasSubstr("rank 2 failed in step 5")));
    });
  }
  barrier.Abort(absl::InternalError("rank 2 failed in step 5: device lost"));
  for (std::thread& thread : threads) thread.join();
}

TEST(RankBarrierTest, RanksAtDifferentStepsStopTheGroup) {
  RankBarrier barrier(2, absl::Seconds(60));
  std::thread other([&] {
    EXPECT_THAT(barrier.Meet(1, {.step = 8}), StatusIs(absl::StatusCode::kInternal, HasSubstr("rank 1 is in step 8")));
  });
  EXPECT_THAT(barrier.Meet(0, {.step = 7}), StatusIs(absl::StatusCode::kInternal, HasSubstr("rank 1 is in step 8")));
  other.join();
}

}  // namespace
}  // namespace tessera
