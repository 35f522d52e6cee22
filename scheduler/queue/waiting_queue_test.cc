#include "scheduler/queue/waiting_queue.h"

#include <vector>

#include "gtest/gtest.h"

namespace tessera {
namespace {

const absl::Time kNoon = absl::FromUnixSeconds(1'700'000'000);

WaitingRequest Waiting(int64_t id, int32_t priority = 0, absl::Duration after = absl::ZeroDuration(),
                       uint64_t client = 0) {
  return {{.priority = priority, .arrival = kNoon + after, .request = {id}}, client, /*num_prompt_tokens=*/10};
}

std::vector<int64_t> StartAll(WaitingQueue& queue) {
  std::vector<int64_t> order;
  while (!queue.empty()) {
    EXPECT_EQ(queue.Front().value, queue.Front().value);
    order.push_back(queue.StartFront().request.value);
  }
  return order;
}

TEST(WaitingQueueTest, OrdersByPriorityThenArrivalThenId) {
  WaitingQueue queue;
  queue.Add(Waiting(0, 1, -absl::Seconds(9)));
  queue.Add(Waiting(2, 0, absl::Seconds(1)));
  queue.Add(Waiting(4, -1, absl::Seconds(9)));
  queue.Add(Waiting(1, 0, absl::Seconds(1)));
  queue.Add(Waiting(3, 0));
  EXPECT_EQ(queue.size(), 5U);
  EXPECT_EQ(StartAll(queue), (std::vector<int64_t>{4, 3, 1, 2, 0}));
}

TEST(WaitingQueueTest, SharesAPriorityAmongClientsButNeverAcrossPriorities) {
  WaitingQueue queue;
  for (int64_t id = 0; id < 3; ++id) queue.Add(Waiting(id, 0, absl::ZeroDuration(), /*client=*/1));
  for (int64_t id = 10; id < 12; ++id) queue.Add(Waiting(id, 0, absl::Seconds(1), /*client=*/2));
  queue.Add(Waiting(20, 1, -absl::Seconds(1), /*client=*/3));
  EXPECT_EQ(StartAll(queue), (std::vector<int64_t>{0, 10, 1, 11, 2, 20}));
}

TEST(WaitingQueueTest, APreemptedRequestKeepsItsPlaceBeforeAllThatHaveNotRun) {
  WaitingQueue queue;
  for (int64_t id = 0; id < 4; ++id) queue.Add(Waiting(id));
  WaitingRequest first = Waiting(0), second = Waiting(1);
  first.precedence = queue.StartFront();
  second.precedence = queue.StartFront();
  EXPECT_LT(first.precedence, second.precedence);
  queue.Add(Waiting(9, /*priority=*/-1));
  queue.Add(second);
  queue.Add(first);
  EXPECT_EQ(StartAll(queue), (std::vector<int64_t>{9, 0, 1, 2, 3}));
}

TEST(WaitingQueueTest, AResumedRequestIsNotChargedAgain) {
  WaitingQueue queue;
  WaitingRequest resumed = Waiting(0, 0, absl::ZeroDuration(), /*client=*/1);
  queue.Add(resumed);
  queue.Add(Waiting(1, 0, absl::Seconds(1), /*client=*/1));
  queue.Add(Waiting(2, 0, absl::Seconds(1), /*client=*/2));
  queue.Add(Waiting(3, 0, absl::Seconds(2), /*client=*/2));
  resumed.precedence = queue.StartFront();
  for (int i = 0; i < 3; ++i) {  // preempted three times; client 2 has the next turn all the same
    queue.Add(resumed);
    EXPECT_EQ(queue.StartFront().request.value, 0);
  }
  EXPECT_EQ(StartAll(queue), (std::vector<int64_t>{2, 1, 3}));
}

TEST(WaitingQueueTest, TokensThatRunningRequestsAreGivenCount) {
  WaitingQueue queue;
  for (int64_t id = 0; id < 4; ++id) queue.Add(Waiting(id, 0, absl::ZeroDuration(), /*client=*/1));
  for (int64_t id = 10; id < 14; ++id) queue.Add(Waiting(id, 0, absl::Seconds(1), /*client=*/2));
  EXPECT_EQ(queue.StartFront().request.value, 0);
  EXPECT_EQ(queue.StartFront().request.value, 10);
  queue.Charge(/*priority=*/0, /*client=*/1, 25);
  queue.Charge(/*priority=*/5, /*client=*/2, 1000);  // another priority is another account
  EXPECT_EQ(StartAll(queue), (std::vector<int64_t>{11, 12, 13, 1, 2, 3}));
}

TEST(WaitingQueueTest, AccountsAreClosedWhenNobodyWaits) {
  WaitingQueue queue;
  queue.Add(Waiting(0, 0, absl::ZeroDuration(), /*client=*/1));
  queue.StartFront();
  queue.Charge(0, 1, 1'000'000);  // nobody waited for it
  queue.Add(Waiting(1, 0, absl::Seconds(1), /*client=*/1));
  queue.Add(Waiting(2, 0, absl::Seconds(2), /*client=*/2));
  EXPECT_EQ(StartAll(queue), (std::vector<int64_t>{1, 2}));
}

TEST(WaitingQueueTest, RemovesFromTheMiddle) {
  WaitingQueue queue;
  for (int64_t id = 0; id < 3; ++id) queue.Add(Waiting(id));
  queue.Remove(Waiting(1));
  EXPECT_EQ(queue.size(), 2U);
  queue.Remove(Waiting(0));
  EXPECT_EQ(queue.Front(), RequestId{2});
  queue.Remove(Waiting(2));
  EXPECT_TRUE(queue.empty());
}

TEST(WaitingQueueDeathTest, AbortsOnTwiceAddedAndOnUnknown) {
  WaitingQueue queue;
  EXPECT_DEATH(queue.Front(), "empty");
  queue.Add(Waiting(1));
  EXPECT_DEATH(queue.Add(Waiting(1)), "emplace");
  EXPECT_DEATH(queue.Remove(Waiting(2)), "erase");
  EXPECT_DEATH(queue.Remove(Waiting(1, /*priority=*/3)), "end");
}

}  // namespace
}  // namespace tessera
