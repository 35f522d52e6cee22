#include "scheduler/queue/fair_share.h"

#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace tessera {
namespace {

constexpr uint64_t kHeavy = 7;
constexpr uint64_t kLight = 8;
const absl::Time kNoon = absl::FromUnixSeconds(1'700'000'000);

Precedence Arrived(int64_t id, absl::Duration after = absl::ZeroDuration()) {
  return {.arrival = kNoon + after, .request = {id}};
}

int64_t Start(FairShare& share) {
  const int64_t id = share.Front().request.value;
  share.StartFront();
  return id;
}

TEST(FairShareTest, StartsOneClientsRequestsByArrivalThenId) {
  FairShare share;
  share.Add(kHeavy, Arrived(3, absl::Seconds(1)), 10);
  share.Add(kHeavy, Arrived(2, absl::Seconds(1)), 10);
  share.Add(kHeavy, Arrived(4), 10);
  EXPECT_EQ(Start(share), 4);
  EXPECT_EQ(Start(share), 2);
  EXPECT_EQ(Start(share), 3);
  EXPECT_TRUE(share.empty());
}

TEST(FairShareTest, TenThousandQueuedPromptsDoNotDelayAnotherClient) {
  FairShare share;
  for (int64_t id = 0; id < 10'000; ++id) share.Add(kHeavy, Arrived(id), 100);
  for (int i = 0; i < 50; ++i) {
    Start(share);
    share.Charge(kHeavy, 200);
  }
  share.Add(kLight, Arrived(10'000, absl::Seconds(1)), 100);
  const int64_t first = Start(share);
  EXPECT_TRUE(first == 10'000 || Start(share) == 10'000) << "more than one request went before";
}

TEST(FairShareTest, ClientsWithEqualWishesTakeTurns) {
  FairShare share;
  for (int64_t id = 0; id < 6; ++id) share.Add(id < 3 ? kHeavy : kLight, Arrived(id), 10);
  std::vector<int64_t> order;
  while (!share.empty()) order.push_back(Start(share));
  EXPECT_EQ(order, (std::vector<int64_t>{0, 3, 1, 4, 2, 5}));
}

TEST(FairShareTest, LongAnswersCountAsMuchAsLongPrompts) {
  FairShare share;
  for (int64_t id = 0; id < 100; ++id) {
    share.Add(kHeavy, Arrived(id), 10);
    share.Add(kLight, Arrived(1000 + id), 10);
  }
  int num_heavy = 0, num_light = 0;
  for (int i = 0; i < 55; ++i) {
    if (Start(share) < 1000) {
      ++num_heavy;
      share.Charge(kHeavy, 90);
    } else {
      ++num_light;
    }
  }
  EXPECT_NEAR(num_light, 10 * num_heavy, 10);
}

TEST(FairShareTest, WhoHadNoWishesEarnsNothingAndWhoLeavesOwesStill) {
  FairShare share;
  for (int64_t id = 0; id < 1000; ++id) share.Add(kHeavy, Arrived(id), 100);
  for (int i = 0; i < 100; ++i) Start(share);  // 10,000 tokens while nobody else is there
  for (int64_t id = 1000; id < 1010; ++id) share.Add(kLight, Arrived(id), 100);
  int num_light = 0;
  for (int i = 0; i < 10; ++i) num_light += Start(share) >= 1000 ? 1 : 0;
  EXPECT_NEAR(num_light, 5, 1) << "the newcomer was paid for the time before it came";

  share.Charge(kLight, 1000);
  for (int64_t id = 1000; id < 1010; ++id) {  // it cancels what is left and comes back at once
    if (id >= 1000 + num_light) share.Remove(kLight, Arrived(id));
  }
  share.Add(kLight, Arrived(2000), 100);
  for (int i = 0; i < 8; ++i) EXPECT_LT(Start(share), 1000) << "its account was closed with a debt";
}

TEST(FairShareTest, AnEndlessRowOfNewClientsDoesNotHoldBackAnOldOne) {
  FairShare share;
  share.Add(kHeavy, Arrived(0), 100);
  share.Add(kLight, Arrived(1), 100);  // keeps the queue from running empty
  share.Add(kLight, Arrived(2), 100);
  Start(share);
  share.Charge(kHeavy, 2000);
  share.Add(kHeavy, Arrived(3), 100);
  int64_t next = 10;
  for (int i = 0; i < 400; ++i) {  // its debt is that of twenty requests
    share.Add(static_cast<uint64_t>(next), Arrived(next), 100);
    ++next;
    if (Start(share) == 3) return;
  }
  FAIL() << "the old client has waited for 400 new ones";
}

TEST(FairShareTest, ForgetsClientsThatHaveGoneAndOweNothing) {
  FairShare share;
  share.Add(kHeavy, Arrived(0), 1);
  for (int64_t id = 1; id <= 1000; ++id) {
    share.Add(static_cast<uint64_t>(100 + id), Arrived(id), 1);
    share.Remove(static_cast<uint64_t>(100 + id), Arrived(id));
  }
  EXPECT_EQ(share.num_accounts(), 1U);
  for (int64_t id = 1; id <= 1000; ++id) {
    share.Add(static_cast<uint64_t>(100 + id), Arrived(id), 1);
    share.Charge(kHeavy, 1);
    while (Start(share) == 0) share.Add(kHeavy, Arrived(0), 1);
  }
  EXPECT_LT(share.num_accounts(), 20U);
}

// Random arrivals, cancellations and charges. Between two clients that wait all the time the difference of what they
// were given stays below what can be charged at once, whatever the others do.
TEST(FairSharePropertyTest, ClientsThatAlwaysWaitGetTheSame) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    const auto below = [&](uint32_t n) { return static_cast<int64_t>(random() % n); };
    constexpr int64_t kPromptMax = 500;
    constexpr int64_t kAnswerMax = 300;
    FairShare share;
    std::map<int64_t, std::pair<uint64_t, Precedence>> waiting;
    std::map<uint64_t, int64_t> given, num_waiting;
    std::map<uint64_t, Precedence> last_started;
    std::map<int64_t, int64_t> prompt;
    int64_t next_id = 0;
    const auto add = [&](uint64_t client) {
      const Precedence request = Arrived(next_id, absl::Milliseconds(next_id));
      prompt[next_id] = 1 + below(kPromptMax);
      share.Add(client, request, prompt[next_id]);
      waiting[next_id++] = {client, request};
      ++num_waiting[client];
    };
    for (int i = 0; i < 2000; ++i) {
      for (const uint64_t always : {0, 1}) {
        while (num_waiting[always] < 3) add(always);
      }
      if (below(3) == 0) add(2 + static_cast<uint64_t>(below(6)));
      const auto some = std::next(waiting.begin(), below(static_cast<uint32_t>(waiting.size())));
      if (below(8) == 0 && some->second.first > 1) {
        share.Remove(some->second.first, some->second.second);
        --num_waiting[some->second.first];
        waiting.erase(some);
      }
      const int64_t id = Start(share);
      const auto [client, precedence] = waiting.at(id);  // aborts when it is started twice
      EXPECT_LT(last_started[client], precedence) << "later arrivals of the same client went before";
      last_started[client] = precedence;
      waiting.erase(id);
      --num_waiting[client];
      const int64_t num_answer = below(kAnswerMax);
      given[client] += prompt[id] + num_answer;
      share.Charge(client, num_answer);
      ASSERT_LE(std::abs(given[0] - given[1]), kPromptMax + kAnswerMax);
    }
    EXPECT_LT(share.num_accounts(), 9U);
    while (!share.empty()) waiting.erase(Start(share));
    EXPECT_TRUE(waiting.empty());
  }
}

TEST(FairShareDeathTest, AbortsOnTwiceAddedAndOnUnknown) {
  FairShare share;
  EXPECT_DEATH(share.Front(), "empty");
  share.Add(kLight, Arrived(1), 1);
  EXPECT_DEATH(share.Add(kLight, Arrived(1), 1), "emplace");
  EXPECT_DEATH(share.Remove(kLight, Arrived(2)), "erase");
  EXPECT_DEATH(share.Remove(kHeavy, Arrived(1)), "end");
}

}  // namespace
}  // namespace tessera
