#include "server/groups/group_router.h"

#include <map>
#include <random>
#include <string>

#include "absl/strings/str_format.h"
#include "base/fake_clock.h"
#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/testing/recording_sink.h"
#include "server/groups/testing/fake_group.h"

namespace tessera {
namespace {

using testing::HasSubstr;

constexpr EngineLimits kLimits = {.context_tokens_max = 512,
                                  .cache_tokens_per_rank = 64 * 100,
                                  .vocab_size = 1000,
                                  .num_ranks = 1,
                                  .block_tokens = 64,
                                  .num_blocks_per_rank = 100,
                                  .has_prefix_cache = true};

class GroupRouterTest : public testing::Test {
 protected:
  explicit GroupRouterTest(RouterConfig config = {.limits = kLimits})
      : router_(config, clock_, sink_, [this](const std::string& name, TokenSink& sink) {
          auto group = std::make_unique<FakeGroup>(model_, limits_[name], sink);
          groups_[name] = group.get();
          return group;
        }) {
    limits_["a"] = limits_["b"] = limits_["c"] = kLimits;
  }

  static Request MakeRequest(int64_t id, int32_t max_tokens = 120) {
    return {.id = {id},
            .prompt = {5, 6, 7, static_cast<TokenId>(id % 900)},
            .sampling = {.seed = static_cast<uint64_t>(id) * 77},
            .max_tokens = max_tokens};
  }
  FakeGroup& Of(const std::string& name) { return *groups_.at(name); }
  // The only group that has requests.
  FakeGroup& Busy() {
    for (auto& [name, group] : groups_) {
      if (group->num_live() > 0) return *group;
    }
    ADD_FAILURE() << "no group has a request";
    return *groups_.begin()->second;
  }
  void StepAll() {
    for (auto& [name, group] : groups_) group->Step();
    router_.RunOnce();
  }
  void RunToTheEnd(size_t num_requests) {
    for (int step = 0; step < 2000 && sink_.num_finished() < num_requests; ++step) StepAll();
    ASSERT_EQ(sink_.num_finished(), num_requests);
  }

  FakeClock clock_;
  FakeModel model_{{.vocab_size = 1000, .stop_period = 0}};
  RecordingSink sink_;
  std::map<std::string, EngineLimits> limits_;
  std::map<std::string, FakeGroup*> groups_;
  GroupRouter router_;
};

// ---- Failure ----

class KillAtToken : public GroupRouterTest, public testing::WithParamInterface<int> {};

TEST_P(KillAtToken, TheClientGetsTheTokensOfTheUndisturbedRunEachOnce) {
  router_.SetGroups({"a", "b"});
  Request request = MakeRequest(1);
  request.sampling.num_logprobs = 2;
  const std::vector<TokenId> undisturbed = model_.Answer(request);
  ASSERT_THAT(router_.Submit(request), IsOk());
  for (int token = 0; token < GetParam(); ++token) StepAll();
  FakeGroup& first = Busy();
  first.Kill();
  RunToTheEnd(1);
  const RequestTokens got = sink_.Of(1);
  EXPECT_EQ(got.tokens, undisturbed);
  EXPECT_EQ(got.logprobs.size(), undisturbed.size());
  EXPECT_EQ(got.finish, FinishReason::kLength);
  FakeGroup& second = &first == groups_["a"] ? Of("b") : Of("a");
  ASSERT_EQ(second.submitted().size(), 1U);
  EXPECT_EQ(second.submitted()[0].generated.size(), static_cast<size_t>(GetParam()));
  EXPECT_EQ(router_.num_moves(), 1);
}

TEST_P(KillAtToken, SoDoesOneWhoseSecondGroupDiesAsWell) {
  router_.SetGroups({"a", "b", "c"});
  const Request request = MakeRequest(1);
  ASSERT_THAT(router_.Submit(request), IsOk());
  for (int token = 0; token < GetParam(); ++token) StepAll();
  Busy().Kill();
  StepAll();
  StepAll();
  Busy().Kill();
  RunToTheEnd(1);
  EXPECT_EQ(sink_.Tokens(1), model_.Answer(request));
  EXPECT_EQ(router_.num_moves(), 2);
}

INSTANTIATE_TEST_SUITE_P(Tokens, KillAtToken, testing::Values(0, 1, 17, 100, 117));

TEST_F(GroupRouterTest, StopTokensAndMinTokensHoldOverAMove) {
  const FakeModel model({.vocab_size = 1000, .stop_period = 20});
  FakeClock clock;
  RecordingSink sink;
  std::map<std::string, FakeGroup*> groups;
  GroupRouter router({.limits = kLimits}, clock, sink, [&](const std::string& name, TokenSink& group_sink) {
    auto group = std::make_unique<FakeGroup>(model, kLimits, group_sink);
    groups[name] = group.get();
    return group;
  });
  router.SetGroups({"a", "b"});
  size_t num_stopped = 0;
  for (int64_t id = 1; id <= 20; ++id) {
    Request request = MakeRequest(id);
    request.stop_tokens = {3};
    request.min_tokens = 10;
    ASSERT_THAT(router.Submit(request), IsOk());
    for (int i = 0; i < 8; ++i) {
      for (auto& [name, group] : groups) group->Step();
    }
    FakeGroup& killed = *groups[id % 2 == 0 ? "a" : "b"];
    killed.Kill();
    killed.Restart();
    router.RunOnce();
    while (sink.num_finished() < static_cast<size_t>(id)) {
      for (auto& [name, group] : groups) group->Step();
      router.RunOnce();
    }
    EXPECT_EQ(sink.Tokens(id), model.Answer(request));
    num_stopped += sink.Finish(id) == FinishReason::kStop;
  }
  EXPECT_GT(num_stopped, 5U);
}

TEST_F(GroupRouterTest, PromptLogprobsComeOnceWhenTheGroupDiesInThePrompt) {
  router_.SetGroups({"a", "b"});
  Request request = MakeRequest(1, 3);
  request.prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  request.sampling.num_prompt_logprobs = 1;
  ASSERT_THAT(router_.Submit(request), IsOk());
  StepAll();  // 4 of 9
  ASSERT_EQ(sink_.Of(1).prompt_logprobs.size(), 4U);
  Busy().Kill();
  RunToTheEnd(1);
  const RequestTokens got = sink_.Of(1);
  ASSERT_EQ(got.prompt_logprobs.size(), 9U);
  for (size_t i = 0; i < 9; ++i) EXPECT_EQ(got.prompt_logprobs[i].token.token, static_cast<TokenId>(i + 2));
  EXPECT_EQ(got.tokens, model_.Answer(request));
}

TEST_F(GroupRouterTest, WhatAFormerGroupStillSaysIsNotHeard) {
  router_.SetGroups({"a", "b"});
  const Request request = MakeRequest(1, 10);
  ASSERT_THAT(router_.Submit(request), IsOk());
  StepAll();
  FakeGroup& first = Busy();
  const RequestId attempt = first.submitted()[0].id;
  first.Kill();
  router_.RunOnce();
  first.Say({.request = attempt, .tokens = {999}});
  first.Say({.request = attempt, .finish = FinishReason::kStop});
  RunToTheEnd(1);
  EXPECT_EQ(sink_.Tokens(1), model_.Answer(request));
}

TEST_F(GroupRouterTest, ARequestThatBreaksItsGroupsDoesNotBreakThemAll) {
  router_.SetGroups({"a", "b", "c"});
  ASSERT_THAT(router_.Submit(MakeRequest(1)), IsOk());
  int num_killed = 0;
  while (sink_.num_finished() == 0 && num_killed < 100) {
    FakeGroup& group = Busy();
    group.Kill();
    group.Restart();
    ++num_killed;
    router_.RunOnce();
  }
  EXPECT_EQ(num_killed, 6);  // moves_without_token_max + 1
  EXPECT_THAT(sink_.Of(1).status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("killed")));
}

TEST_F(GroupRouterTest, AnErrorOfTheRequestItselfIsNotTriedElsewhere) {
  router_.SetGroups({"a", "b"});
  ASSERT_THAT(router_.Submit(MakeRequest(1)), IsOk());
  FakeGroup& group = Busy();
  group.EndWith(group.submitted()[0].id, absl::InternalError("the logits are not finite"));
  router_.RunOnce();
  EXPECT_THAT(sink_.Of(1).status, StatusIs(absl::StatusCode::kInternal, HasSubstr("not finite")));
  EXPECT_EQ(router_.num_moves(), 0);
}

TEST_F(GroupRouterTest, RandomFailuresChangeNoToken) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrFormat("seed %d", seed));
    std::mt19937_64 random(seed);
    FakeClock clock;
    RecordingSink sink;
    const FakeModel model({.vocab_size = 1000, .stop_period = 50});
    std::map<std::string, FakeGroup*> groups;
    GroupRouter router({.limits = kLimits}, clock, sink, [&](const std::string& name, TokenSink& group_sink) {
      auto group = std::make_unique<FakeGroup>(model, kLimits, group_sink);
      groups[name] = group.get();
      return group;
    });
    router.SetGroups({"a", "b", "c"});
    std::map<int64_t, Request> requests;
    std::map<int64_t, bool> cancelled;
    constexpr int64_t kRequests = 60;
    for (int64_t step = 0; sink.num_finished() < kRequests; ++step) {
      ASSERT_LT(step, 20000);
      if (requests.size() < kRequests && random() % 3 == 0) {
        const auto id = static_cast<int64_t>(requests.size()) + 1;
        Request request = MakeRequest(id, static_cast<int32_t>(1 + random() % 60));
        request.stop_tokens = {3};
        request.sampling.num_logprobs = 0;
        if (router.Submit(request).ok()) requests[id] = request;
      }
      for (auto& [name, group] : groups) {
        if (random() % 4 != 0) group->Step();
        if (random() % 40 == 0) group->Kill();
        if (random() % 10 == 0) group->Restart();
      }
      if (random() % 50 == 0 && !requests.empty()) {
        const auto id = static_cast<int64_t>(1 + random() % requests.size());
        if (!sink.Finish(id).has_value()) cancelled[id] = true;
        router.Cancel({id});
      }
      clock.Advance(absl::Milliseconds(1));
      router.RunOnce();
    }
    for (const auto& [id, request] : requests) {
      const RequestTokens got = sink.Of(id);
      const std::vector<TokenId> undisturbed = model.Answer(request);
      ASSERT_LE(got.tokens.size(), undisturbed.size());
      EXPECT_TRUE(std::equal(got.tokens.begin(), got.tokens.end(), undisturbed.begin()));
      EXPECT_EQ(got.logprobs.size(), got.tokens.size());
      if (got.finish == FinishReason::kCancelled) {
        EXPECT_TRUE(cancelled.contains(id));
      } else if (got.finish == FinishReason::kError) {
        EXPECT_EQ(got.status.code(), absl::StatusCode::kUnavailable);  // moved too often without a token
      } else {
        EXPECT_EQ(got.tokens.size(), undisturbed.size());
      }
    }
    for (const GroupSnapshot& group : router.Groups()) EXPECT_EQ(group.num_open, 0);
  }
}

// ---- No group, no room ----

TEST_F(GroupRouterTest, ARequestWaitsForAGroupAndThenRuns) {
  router_.SetGroups({"a"});
  Of("a").SetReady(false);
  const Request request = MakeRequest(1, 5);
  ASSERT_THAT(router_.Submit(request), IsOk());
  StepAll();
  EXPECT_FALSE(router_.Status().ready);
  EXPECT_THAT(router_.Status().reason, HasSubstr("a: killed"));
  EXPECT_EQ(router_.Status().num_waiting, 1);
  Of("a").Restart();
  RunToTheEnd(1);
  EXPECT_EQ(sink_.Tokens(1), model_.Answer(request));
}

TEST_F(GroupRouterTest, AWaitingRequestEndsByItsDeadlineItsClientOrTheBound) {
  router_.SetGroups({"a"});
  Of("a").SetReady(false);
  Request hurried = MakeRequest(1);
  hurried.deadline = clock_.Now() + absl::Seconds(5);
  ASSERT_THAT(router_.Submit(hurried), IsOk());
  ASSERT_THAT(router_.Submit(MakeRequest(2)), IsOk());
  ASSERT_THAT(router_.Submit(MakeRequest(3)), IsOk());
  router_.Cancel({2});
  router_.RunOnce();
  EXPECT_EQ(sink_.Finish(2), FinishReason::kCancelled);
  clock_.Advance(absl::Seconds(5));
  router_.RunOnce();
  EXPECT_EQ(sink_.Finish(1), FinishReason::kDeadline);
  EXPECT_EQ(sink_.Finish(3), std::nullopt);
  clock_.Advance(absl::Seconds(25));
  router_.RunOnce();
  EXPECT_THAT(sink_.Of(3).status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("try again")));
  EXPECT_EQ(router_.Status().num_waiting, 0);
}

class SmallWaitTest : public GroupRouterTest {
 protected:
  SmallWaitTest() : GroupRouterTest({.limits = kLimits, .waiting_requests_max = 2}) {}
};

TEST_F(SmallWaitTest, MoreThanTheBoundAreRefused) {
  EXPECT_THAT(router_.Submit(MakeRequest(1)), IsOk());
  EXPECT_THAT(router_.Submit(MakeRequest(2)), IsOk());
  EXPECT_THAT(router_.Submit(MakeRequest(3)), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("2 requests wait")));
  EXPECT_THAT(router_.Status().reason, HasSubstr("no worker group is known"));
}

TEST_F(GroupRouterTest, FullGroupsRefuseAtOnce) {
  router_.SetGroups({"a", "b"});
  for (const char* name : {"a", "b"}) Of(name).RefuseSubmitsWith(absl::ResourceExhaustedError("the queue is full"));
  EXPECT_THAT(router_.Submit(MakeRequest(1)), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("queue")));
  Of("b").RefuseSubmitsWith(absl::OkStatus());
  EXPECT_THAT(router_.Submit(MakeRequest(1)), IsOk()) << "the other group has room, and the id is free";
  EXPECT_EQ(Of("b").num_live(), 1);
}

TEST_F(GroupRouterTest, ALateRefusalIsTriedElsewhereAndEndsTheRequestWhenAllRefuse) {
  router_.SetGroups({"a", "b"});
  ASSERT_THAT(router_.Submit(MakeRequest(1)), IsOk());
  for (int i = 0; i < 2; ++i) {
    FakeGroup& group = Busy();
    group.RefuseSubmitsWith(absl::ResourceExhaustedError("full"));
    group.EndWith(group.submitted().back().id, absl::ResourceExhaustedError("full"));
    router_.RunOnce();
  }
  EXPECT_EQ(Of("a").submitted().size(), 1U);
  EXPECT_EQ(Of("b").submitted().size(), 1U);
  EXPECT_THAT(sink_.Of(1).status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("full")));
}

TEST_F(GroupRouterTest, AStreamThatRanWaitsUntilTheOtherGroupHasRoom) {
  router_.SetGroups({"a", "b"});
  const Request request = MakeRequest(1, 20);
  ASSERT_THAT(router_.Submit(request), IsOk());
  StepAll();
  FakeGroup& first = Busy();
  FakeGroup& second = &first == groups_["a"] ? Of("b") : Of("a");
  second.RefuseSubmitsWith(absl::ResourceExhaustedError("full"));
  first.Kill();
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(absl::Seconds(1));
    StepAll();
  }
  EXPECT_EQ(sink_.num_finished(), 0U);
  second.RefuseSubmitsWith(absl::OkStatus());
  clock_.Advance(absl::Seconds(1));
  RunToTheEnd(1);
  EXPECT_EQ(sink_.Tokens(1), model_.Answer(request));
}

// ---- Cancel, drain, limits ----

TEST_F(GroupRouterTest, CancelReachesTheGroupAndHoldsWhenTheGroupDiesInstead) {
  router_.SetGroups({"a", "b"});
  ASSERT_THAT(router_.Submit(MakeRequest(1)), IsOk());
  ASSERT_THAT(router_.Submit(MakeRequest(2)), IsOk());
  StepAll();
  router_.Cancel({1});
  router_.Cancel({2});
  Of("a").Kill();
  StepAll();
  EXPECT_EQ(sink_.Finish(1), FinishReason::kCancelled);
  EXPECT_EQ(sink_.Finish(2), FinishReason::kCancelled);
  router_.Cancel({3});  // not known: nothing happens
}

TEST_F(GroupRouterTest, DrainRefusesNewRequestsAndStillMovesRunningOnes) {
  router_.SetGroups({"a", "b"});
  const Request request = MakeRequest(1, 20);
  ASSERT_THAT(router_.Submit(request), IsOk());
  StepAll();
  router_.Drain();
  EXPECT_THAT(router_.Submit(MakeRequest(2)), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("draining")));
  EXPECT_FALSE(router_.Status().ready);
  Busy().Kill();
  RunToTheEnd(1);
  EXPECT_EQ(sink_.Tokens(1), model_.Answer(request));
}

TEST_F(GroupRouterTest, TheSmallestGroupSetsTheLimits) {
  EXPECT_EQ(router_.limits(), kLimits) << "none is known yet";
  limits_["b"].context_tokens_max = 100;
  router_.SetGroups({"a", "b"});
  EXPECT_EQ(router_.limits().context_tokens_max, 100);
  EXPECT_THAT(router_.Submit(MakeRequest(1)), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("at most 100")));
  Request bad = MakeRequest(2, 5);
  bad.prompt = {5000};
  EXPECT_THAT(router_.Submit(bad), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("prompt[0]")));
  ASSERT_THAT(router_.Submit(MakeRequest(3, 5)), IsOk());
  EXPECT_THAT(router_.Submit(MakeRequest(3, 5)), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("3")));
}

TEST_F(GroupRouterTest, StopEndsEveryRequestOnce) {
  router_.SetGroups({"a"});
  ASSERT_THAT(router_.Submit(MakeRequest(1)), IsOk());
  Of("a").SetReady(false);
  ASSERT_THAT(router_.Submit(MakeRequest(2)), IsOk());
  router_.Stop();
  EXPECT_THAT(sink_.Of(1).status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stops")));
  EXPECT_THAT(sink_.Of(2).status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stops")));
}

// ---- Choice ----

TEST_F(GroupRouterTest, UnlikeRequestsSpreadEvenly) {
  router_.SetGroups({"a", "b", "c"});
  for (int64_t id = 1; id <= 30; ++id) ASSERT_THAT(router_.Submit(MakeRequest(id)), IsOk());
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(Of(name).num_live(), 10);
}

TEST_F(GroupRouterTest, AGroupThatIsBusyForOthersGetsLess) {
  router_.SetGroups({"a", "b"});
  Of("a").SetWaitingTokens(5 * 256);
  for (int64_t id = 1; id <= 25; ++id) ASSERT_THAT(router_.Submit(MakeRequest(id)), IsOk());
  EXPECT_EQ(Of("a").num_live(), 10);
  EXPECT_EQ(Of("b").num_live(), 15);
}

Request WithSharedPrefix(int64_t id) {
  Request request{.id = {id}, .max_tokens = 4};
  for (TokenId token = 0; token < 256; ++token) request.prompt.push_back(token);
  request.prompt.push_back(static_cast<TokenId>(id % 900));
  return request;
}

TEST_F(GroupRouterTest, ASharedPrefixDrawsRequestsWhileLoadAllows) {
  router_.SetGroups({"a", "b"});
  for (int64_t id = 1; id <= 10; ++id) {
    ASSERT_THAT(router_.Submit(WithSharedPrefix(id)), IsOk());
    RunToTheEnd(static_cast<size_t>(id));  // nothing else is under way
  }
  const size_t on_a = Of("a").submitted().size();
  EXPECT_TRUE(on_a == 0 || on_a == 10) << on_a;
}

TEST_F(GroupRouterTest, ASharedPrefixDoesNotPileEverythingOnOneGroup) {
  router_.SetGroups({"a", "b", "c"});
  for (int64_t id = 1; id <= 300; ++id) ASSERT_THAT(router_.Submit(WithSharedPrefix(id)), IsOk());
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_GE(Of(name).num_live(), 95);
    EXPECT_LE(Of(name).num_live(), 105);
  }
}

TEST_F(GroupRouterTest, ARestartedGroupIsTakenForEmptyAndGetsTraffic) {
  router_.SetGroups({"a", "b"});
  for (int64_t id = 1; id <= 20; ++id) ASSERT_THAT(router_.Submit(WithSharedPrefix(id)), IsOk());
  Of("a").Kill();
  router_.RunOnce();
  EXPECT_EQ(Of("b").num_live(), 20);
  Of("a").Restart();
  for (int64_t id = 21; id <= 30; ++id) ASSERT_THAT(router_.Submit(WithSharedPrefix(id)), IsOk());
  EXPECT_EQ(Of("a").num_live(), 10) << "it has nothing to do, and the other has";
}

TEST_F(GroupRouterTest, ANewGroupGetsTrafficAndOneThatIsNoLongerNamedIsLeft) {
  router_.SetGroups({"a"});
  ASSERT_THAT(router_.Submit(MakeRequest(1, 10)), IsOk());
  router_.SetGroups({"b"});
  for (int64_t id = 2; id <= 5; ++id) ASSERT_THAT(router_.Submit(MakeRequest(id, 10)), IsOk());
  EXPECT_EQ(Of("a").num_live(), 1);
  EXPECT_EQ(Of("b").num_live(), 4);
  router_.RunOnce();
  EXPECT_EQ(router_.Groups().size(), 2U) << "its request still runs";
  while (sink_.num_finished() < 5) {
    for (auto& [name, group] : groups_) group->Step();
  }
  const int64_t num_generated = router_.Status().num_generated_tokens;
  groups_.erase("a");
  router_.RunOnce();
  ASSERT_EQ(router_.Groups().size(), 1U);
  EXPECT_EQ(router_.Groups()[0].name, "b");
  EXPECT_EQ(router_.Status().num_generated_tokens, num_generated) << "counters only grow";
  EXPECT_EQ(sink_.Tokens(1), model_.Answer(MakeRequest(1, 10)));
}

}  // namespace
}  // namespace tessera
