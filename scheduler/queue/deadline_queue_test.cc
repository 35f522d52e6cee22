#include "scheduler/queue/deadline_queue.h"

#include "base/fake_clock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

TEST(DeadlineQueueTest, ExpiresAtTheDeadlineAndNotBefore) {
  FakeClock clock;
  DeadlineQueue queue;
  queue.Add(clock.Now() + absl::Milliseconds(50), {1});
  clock.Advance(absl::Milliseconds(49));
  EXPECT_EQ(queue.PopExpired(clock.Now()), std::nullopt);
  clock.Advance(absl::Milliseconds(1));
  EXPECT_EQ(queue.PopExpired(clock.Now()), RequestId{1});
  EXPECT_EQ(queue.PopExpired(clock.Now()), std::nullopt);
}

TEST(DeadlineQueueTest, ExpiresTheEarliestFirstWhateverTheOrderOfAdding) {
  FakeClock clock;
  DeadlineQueue queue;
  queue.Add(clock.Now() + absl::Seconds(2), {1});
  queue.Add(clock.Now() + absl::Seconds(1), {2});
  queue.Add(absl::InfinitePast(), {3});
  clock.Advance(absl::Seconds(2));
  EXPECT_EQ(queue.PopExpired(clock.Now()), RequestId{3});
  EXPECT_EQ(queue.PopExpired(clock.Now()), RequestId{2});
  EXPECT_EQ(queue.PopExpired(clock.Now()), RequestId{1});
}

TEST(DeadlineQueueTest, KeepsNothingForARequestWithoutDeadline) {
  DeadlineQueue queue;
  queue.Add(absl::InfiniteFuture(), {1});
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.PopExpired(absl::InfiniteFuture()), std::nullopt);
  queue.Remove(absl::InfiniteFuture(), {1});
}

TEST(DeadlineQueueTest, ForgetsARemovedRequest) {
  FakeClock clock;
  DeadlineQueue queue;
  queue.Add(clock.Now(), {1});
  queue.Add(clock.Now(), {2});
  queue.Remove(clock.Now(), {1});
  EXPECT_EQ(queue.PopExpired(clock.Now()), RequestId{2});
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace tessera
