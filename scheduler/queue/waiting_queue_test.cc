#include "scheduler/queue/waiting_queue.h"

#include "gtest/gtest.h"

namespace tessera {
namespace {

const absl::Time kNoon = absl::FromUnixSeconds(1'700'000'000);

TEST(WaitingQueueTest, OrdersByPriorityThenArrivalThenId) {
  const Precedence urgent{-1, kNoon + absl::Seconds(9), {4}};
  const Precedence early{0, kNoon, {3}};
  const Precedence same_time_low_id{0, kNoon + absl::Seconds(1), {1}};
  const Precedence same_time_high_id{0, kNoon + absl::Seconds(1), {2}};
  const Precedence idle{1, kNoon - absl::Seconds(9), {0}};
  WaitingQueue queue;
  for (const Precedence& one : {idle, same_time_high_id, urgent, same_time_low_id, early}) queue.Add(one);
  for (const Precedence& one : {urgent, early, same_time_low_id, same_time_high_id, idle}) {
    EXPECT_EQ(queue.Front().request, one.request);
    queue.Remove(queue.Front());
  }
  EXPECT_TRUE(queue.empty());
}

TEST(WaitingQueueTest, RemovesFromTheMiddle) {
  WaitingQueue queue;
  for (int64_t id = 0; id < 3; ++id) queue.Add({0, kNoon, {id}});
  queue.Remove({0, kNoon, {1}});
  EXPECT_EQ(queue.size(), 2U);
  queue.Remove({0, kNoon, {0}});
  EXPECT_EQ(queue.Front().request, RequestId{2});
}

TEST(WaitingQueueDeathTest, AbortsOnTwiceAddedAndOnUnknown) {
  WaitingQueue queue;
  queue.Add({0, kNoon, {1}});
  EXPECT_DEATH(queue.Add({0, kNoon, {1}}), "insert");
  EXPECT_DEATH(queue.Remove({0, kNoon, {2}}), "erase");
}

}  // namespace
}  // namespace tessera
