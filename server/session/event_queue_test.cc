#include "server/session/event_queue.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

ChoiceDelta Text(size_t size) { return {.text = std::string(size, 'x')}; }

TEST(EventQueueTest, GivesEventsInOrderAndOnce) {
  EventQueue queue(10'000);
  EXPECT_TRUE(queue.TryPush(StartedEvent{.num_prompt_tokens = 3}));
  EXPECT_TRUE(queue.TryPush(Text(5)));
  const std::vector<GenerateEvent> events = queue.Take();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(std::get<StartedEvent>(events[0]).num_prompt_tokens, 3);
  EXPECT_EQ(std::get<ChoiceDelta>(events[1]).text, "xxxxx");
  EXPECT_TRUE(queue.Take().empty());
}

TEST(EventQueueTest, BoundsWhatAClientLeavesUnread) {
  EventQueue queue(10'000);
  int num_taken = 0;
  while (num_taken < 100 && queue.TryPush(Text(1000))) ++num_taken;
  EXPECT_GE(num_taken, 5);
  EXPECT_LT(num_taken, 11);
  EXPECT_TRUE(queue.TryPush(FailedEvent{absl::AbortedError("slow")})) << "the end must always fit";
}

TEST(EventQueueTest, HasRoomAgainOnceTheClientReads) {
  EventQueue queue(10'000);
  while (queue.TryPush(Text(1000))) continue;
  queue.Take();
  EXPECT_TRUE(queue.TryPush(Text(1000)));
}

TEST(EventQueueTest, CountsLogprobs) {
  EventQueue queue(10'000);
  ChoiceDelta delta;
  delta.logprobs.resize(5, PositionLogprobs{.top = std::vector<TokenLogprob>(20)});
  int num_taken = 0;
  while (num_taken < 100 && queue.TryPush(delta)) ++num_taken;
  EXPECT_LT(num_taken, 15);
}

}  // namespace
}  // namespace tessera
