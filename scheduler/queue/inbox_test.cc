#include "scheduler/queue/inbox.h"

#include <thread>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Request Prompt(int64_t id, size_t num_tokens) {
  return Request{.id = {id}, .prompt = std::vector<TokenId>(num_tokens, 1), .max_tokens = 1};
}

TEST(InboxTest, RefusesMoreRequestsThanMayWaitAndTakesThemAgainWhenOneHasLeft) {
  Inbox inbox({.num_requests_max = 2, .num_tokens_max = 100});
  ASSERT_THAT(inbox.Submit(Prompt(1, 1)), IsOk());
  ASSERT_THAT(inbox.Submit(Prompt(2, 1)), IsOk());
  EXPECT_THAT(inbox.Submit(Prompt(3, 1)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("2 requests wait, at most 2 may")));
  Commands commands;
  inbox.Take(commands);
  EXPECT_THAT(inbox.Submit(Prompt(3, 1)), StatusIs(absl::StatusCode::kResourceExhausted, testing::_))
      << "taken requests still wait until the engine says that they run";
  inbox.Apply({.num_requests = -1, .num_tokens = -1});
  EXPECT_THAT(inbox.Submit(Prompt(3, 1)), IsOk());
  EXPECT_EQ(inbox.num_waiting(), 2);
}

TEST(InboxTest, BoundsTheTokensThatWait) {
  Inbox inbox({.num_requests_max = 9, .num_tokens_max = 100});
  ASSERT_THAT(inbox.Submit(Prompt(1, 60)), IsOk());
  EXPECT_THAT(inbox.Submit(Prompt(2, 41)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("60 tokens wait, this request has 41")));
  EXPECT_THAT(inbox.Submit(Prompt(2, 40)), IsOk());
  EXPECT_EQ(inbox.num_waiting_tokens(), 100);
}

TEST(InboxTest, TakesARequestLargerThanTheTokenBoundWhenNothingWaits) {
  Inbox inbox({.num_requests_max = 9, .num_tokens_max = 100});
  EXPECT_THAT(inbox.Submit(Prompt(1, 101)), IsOk());
  EXPECT_THAT(inbox.Submit(Prompt(2, 1)), StatusIs(absl::StatusCode::kResourceExhausted, testing::_));
}

TEST(InboxTest, RefusesAnOpenIdAndTakesItAgainOnceItHasEnded) {
  Inbox inbox({.num_requests_max = 9, .num_tokens_max = 100});
  ASSERT_THAT(inbox.Submit(Prompt(7, 1)), IsOk());
  EXPECT_THAT(inbox.Submit(Prompt(7, 1)), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("7")));
  inbox.Apply({.num_requests = -1, .num_tokens = -1, .ended = {{7}}});
  EXPECT_THAT(inbox.Submit(Prompt(7, 1)), IsOk());
}

TEST(InboxTest, KeepsOneCancellationOfAnOpenRequestAndNoneOfOthers) {
  Inbox inbox({.num_requests_max = 9, .num_tokens_max = 100});
  ASSERT_THAT(inbox.Submit(Prompt(1, 1)), IsOk());
  for (int i = 0; i < 1000; ++i) {
    inbox.Cancel({1});
    inbox.Cancel({2});
  }
  Commands commands;
  inbox.Take(commands);
  EXPECT_THAT(commands.cancellations, ElementsAre(RequestId{1}));
  EXPECT_EQ(commands.submissions.size(), 1U);
  inbox.Take(commands);
  EXPECT_THAT(commands.submissions, IsEmpty());
  EXPECT_THAT(commands.cancellations, IsEmpty());
}

TEST(InboxTest, GivesTheFirstReasonForWhichItWasClosed) {
  Inbox inbox({.num_requests_max = 9, .num_tokens_max = 100});
  inbox.Close(absl::UnavailableError("draining"));
  inbox.Close(absl::UnavailableError("broken"));
  EXPECT_THAT(inbox.Submit(Prompt(1, 1)), StatusIs(absl::StatusCode::kUnavailable, "draining"));
  EXPECT_EQ(inbox.num_waiting(), 0);
}

TEST(InboxTest, WakesTheEngineForASubmissionAndForStop) {
  Inbox inbox({.num_requests_max = 9, .num_tokens_max = 100});
  Commands commands;
  std::thread engine([&] {
    inbox.WaitForCommands();
    inbox.Take(commands);
    inbox.WaitForCommands();
  });
  ASSERT_THAT(inbox.Submit(Prompt(1, 1)), IsOk());
  inbox.Stop();
  engine.join();
  EXPECT_EQ(commands.submissions.size(), 1U);
  EXPECT_TRUE(inbox.stopped());
}

}  // namespace
}  // namespace tessera
