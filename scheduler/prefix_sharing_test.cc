// Case 35 and the prefix cache as requests see it. The fake worker aborts when a sequence finds in a shared block
// anything but its own beginning.

#include <algorithm>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/engine_for_test.h"

namespace tessera {
namespace {

using testing::Each;
using testing::SizeIs;

// Requests with the same `family` begin with the same tokens; blocks hold 4.
Request Family(int64_t id, int32_t family, int32_t num_shared, int32_t num_own, int32_t max_tokens = 6) {
  Request request{.id = {id}, .max_tokens = max_tokens};
  for (int32_t i = 0; i < num_shared; ++i) request.prompt.push_back((family * 100 + i) % 1000);
  for (int32_t i = 0; i < num_own; ++i) request.prompt.push_back(static_cast<TokenId>((id * 37 + i + 500) % 1000));
  return request;
}

void RunToEnd(EngineForTest& engine, const Request& request) {
  ASSERT_THAT(engine.loop.Submit(request), IsOk());
  engine.RunUntilIdle();
}

void RunAndCompare(EngineForTest& engine, const Request& request) {
  RunToEnd(engine, request);
  EXPECT_EQ(engine.sink.Tokens(request.id.value), engine.worker.model().Answer(request));
}

int32_t NumCached(const EngineForTest& engine, int64_t id) { return engine.sink.Of(id).num_cached_tokens; }

TEST(PrefixSharingTest, ComputesOnlyWhatIsNewOfAPrompt) {
  EngineForTest engine;
  RunAndCompare(engine, Family(1, 1, 10, 5));
  EXPECT_EQ(NumCached(engine, 1), 0);
  RunAndCompare(engine, Family(2, 1, 10, 5));
  EXPECT_EQ(NumCached(engine, 2), 8) << "the two full blocks of the ten equal tokens";
  EXPECT_EQ(engine.worker.num_tokens_run(), 15 + 7 + 2 * 5);
  const EngineStatus status = engine.loop.Status();
  EXPECT_EQ(status.num_prompt_tokens, 15 + 7);
  EXPECT_EQ(status.num_cached_prompt_tokens, 8);
  EXPECT_EQ(status.num_prefix_cache_queries, 15 + 15);
  EXPECT_EQ(status.num_prefix_cache_hits, 8);
  EXPECT_EQ(status.num_prefix_cache_collisions, 0);
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(PrefixSharingTest, RunsTheLastTokenOfAPromptThatIsKnownAsAWhole) {
  EngineForTest engine;
  for (const int32_t num_prompt : {12, 13}) {  // exactly three blocks, and one token more
    RunAndCompare(engine, Family(num_prompt, num_prompt, num_prompt, 0));
    RunAndCompare(engine, Family(num_prompt + 10, num_prompt, num_prompt, 0));
    EXPECT_EQ(NumCached(engine, num_prompt + 10), num_prompt == 12 ? 8 : 12);
  }
  RunAndCompare(engine, Family(3, 12, 12, 8));
  EXPECT_EQ(NumCached(engine, 3), 12) << "a longer prompt can use the third block too";
}

TEST(PrefixSharingTest, FindsNothingInPromptsShorterThanABlock) {
  EngineForTest engine;
  for (const int64_t id : {1, 2}) {
    RunAndCompare(engine, Family(id, 1, 4, 0));
    EXPECT_EQ(NumCached(engine, id), 0);
  }
}

TEST(PrefixSharingTest, ComputesOnceWhatRequestsOfTheSameMomentHaveInCommon) {
  EngineForTest engine;
  for (int64_t id = 1; id <= 4; ++id) ASSERT_THAT(engine.loop.Submit(Family(id, 1, 12, 1, 30)), IsOk());
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.loop.Status().num_running, 1) << "the others wait for what this step computes";
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.loop.Status().num_running, 4);
  EXPECT_EQ(engine.loop.Status().num_blocks_used, 4 + 1 + 1 + 1);
  engine.RunUntilIdle();
  for (int64_t id = 1; id <= 4; ++id) {
    EXPECT_EQ(NumCached(engine, id), id == 1 ? 0 : 12);
    EXPECT_EQ(engine.sink.Tokens(id), engine.worker.model().Answer(Family(id, 1, 12, 1, 30)));
  }
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(PrefixSharingTest, HoldsARequestBackForOneStepAtMost) {
  EngineForTest engine({}, {.prefill_chunk_tokens_max = 8});
  ASSERT_THAT(engine.loop.Submit(Family(1, 1, 40, 1)), IsOk());  // five steps and one more for its last token
  ASSERT_THAT(engine.loop.Submit(Family(2, 1, 40, 1)), IsOk());
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.loop.Status().num_running, 1);
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.loop.Status().num_running, 2);
  engine.RunUntilIdle();
  EXPECT_EQ(NumCached(engine, 2), 4) << "of eight tokens the last has no follower yet";
}

TEST(PrefixSharingTest, ComputesAPromptWhoseLogprobsAreAskedFor) {
  EngineForTest engine;
  RunAndCompare(engine, Family(1, 1, 12, 1));
  Request request = Family(2, 1, 12, 1);
  request.sampling.num_prompt_logprobs = 0;
  RunAndCompare(engine, request);
  EXPECT_EQ(NumCached(engine, 2), 0);
  EXPECT_THAT(engine.sink.Of(2).prompt_logprobs, SizeIs(12));
}

TEST(PrefixSharingTest, KeepsNothingWhenItIsOff) {
  EngineForTest engine({}, {.has_prefix_cache = false});
  EXPECT_FALSE(engine.loop.limits().has_prefix_cache);
  for (const int64_t id : {1, 2}) {
    RunAndCompare(engine, Family(id, 1, 12, 1));
    EXPECT_EQ(NumCached(engine, id), 0);
  }
  EXPECT_EQ(engine.loop.Status().num_prefix_cache_queries, 0);
}

TEST(PrefixSharingTest, ForgetsThePromptOfARequestWhoseLogitsWereNotFinite) {
  const Request bad = Family(2, 1, 12, 4);
  EngineForTest engine({.model = {.not_finite_at = {{bad.prompt, 0}}}});
  RunAndCompare(engine, Family(1, 1, 12, 1));
  RunToEnd(engine, bad);  // shares three blocks that were computed before, and adds one
  EXPECT_EQ(engine.sink.Finish(2), FinishReason::kError);
  Request longer = Family(2, 1, 12, 4);
  longer.id = {3};
  longer.prompt.push_back(7);
  RunAndCompare(engine, longer);
  EXPECT_EQ(NumCached(engine, 3), 0) << "nobody can tell which of the blocks were bad";
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(PrefixSharingTest, ForgetsAlsoThePromptOfARequestThatFailsInTheStepInWhichItIsPreempted) {
  FakeWorkerOptions options;
  options.limits.num_blocks = 14;
  const Request bad = Family(2, 2, 13, 0, 20);
  // Both hold seven blocks, 28 positions, when the first needs one more: the 16th token of the second is under way.
  options.model.not_finite_at = {{bad.prompt, 15}};
  EngineForTest engine(options);
  ASSERT_THAT(engine.loop.Submit(Family(1, 1, 13, 0, 20)), IsOk());
  engine.clock.Advance(absl::Seconds(1));
  ASSERT_THAT(engine.loop.Submit(bad), IsOk());
  engine.RunUntilIdle();
  EXPECT_EQ(engine.loop.Status().num_preemptions, 1);
  EXPECT_EQ(engine.sink.Finish(2), FinishReason::kError);
  EXPECT_THAT(engine.sink.Tokens(2), SizeIs(15));
  RunAndCompare(engine, Family(3, 2, 13, 1));
  EXPECT_EQ(NumCached(engine, 3), 0);
}

TEST(PrefixSharingTest, EvictsKnownBlocksBeforeItPreempts) {
  FakeWorkerOptions options;
  options.limits.num_blocks = 10;
  EngineForTest engine(options);
  RunAndCompare(engine, Family(1, 1, 16, 0));
  RunAndCompare(engine, Family(2, 2, 16, 0));
  ASSERT_THAT(engine.loop.Submit(Family(3, 3, 4, 0, 17)), IsOk());
  ASSERT_THAT(engine.loop.Submit(Family(4, 4, 4, 0, 17)), IsOk());  // together all ten blocks
  engine.RunUntilIdle();
  EXPECT_EQ(engine.loop.Status().num_preemptions, 0);
  RunAndCompare(engine, Family(5, 1, 16, 1));
  EXPECT_EQ(NumCached(engine, 5), 0) << "its blocks were reused";
}

TEST(PrefixSharingTest, ResumesAPreemptedRequestFromItsCachedBlocks) {
  FakeWorkerOptions options;
  options.limits.num_blocks = 14;
  EngineForTest engine(options);
  std::vector<Request> requests;
  for (int64_t id = 1; id <= 3; ++id) {
    requests.push_back(Family(id, static_cast<int32_t>(id), 13, 0, 20));
    ASSERT_THAT(engine.loop.Submit(requests.back()), IsOk());
    engine.clock.Advance(absl::Seconds(1));
  }
  engine.RunUntilIdle();
  EXPECT_GT(engine.loop.Status().num_preemptions, 0);
  bool is_resumed_from_cache = false;
  for (const auto& step : engine.worker.plans()) {
    for (const AddedSequence& added : step[0].added) {
      is_resumed_from_cache |= !added.generated.empty() && added.num_cached_tokens > 0;
    }
  }
  EXPECT_TRUE(is_resumed_from_cache);
  for (const Request& request : requests) {
    EXPECT_EQ(engine.sink.Tokens(request.id.value), engine.worker.model().Answer(request));
    EXPECT_EQ(NumCached(engine, request.id.value), 0) << "what the client is told is how it started";
  }
}

TEST(PrefixSharingTest, GivesTheColdAnswersTo500PromptsWithKeysOfFourBits) {
  FakeWorkerOptions options;
  options.limits.num_ranks = 2;
  options.limits.num_blocks = 40;
  options.records_plans = false;
  EngineForTest engine(options, {.prefix_cache_key_bits = 4});
  std::vector<Request> requests;
  for (int64_t id = 0; id < 500; ++id) {
    const auto family = static_cast<int32_t>(id * 7 % 6);
    requests.push_back(Family(id, family, 4 + static_cast<int32_t>(id % 5) * 4, static_cast<int32_t>(id % 3)));
    if (id % 11 == 0) requests.back().prompt[1] += 1;  // one token of the first block
    ASSERT_THAT(engine.loop.Submit(requests.back()), IsOk());
    if (id % 4 == 0) engine.loop.RunOneStep();
  }
  engine.RunUntilIdle();
  for (const Request& request : requests) {
    ASSERT_EQ(engine.sink.Tokens(request.id.value), engine.worker.model().Answer(request));
    ASSERT_LT(NumCached(engine, request.id.value), static_cast<int32_t>(request.prompt.size()));
  }
  EXPECT_GT(engine.loop.Status().num_prefix_cache_collisions, 0);
  EXPECT_GT(engine.loop.Status().num_prefix_cache_hits, 0);
  EXPECT_EQ(engine.loop.Status().num_failed_numeric, 0);
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(PrefixSharingTest, StartsWhereThePrefixIsKnownAndDoesNotPileEverythingThere) {
  FakeWorkerOptions options;
  options.limits.num_ranks = 2;
  EngineForTest engine(options);
  RunAndCompare(engine, Family(0, 1, 24, 1));  // on the first rank
  std::vector<size_t> ranks;
  for (int64_t id = 1; id <= 12; ++id) {
    ASSERT_THAT(engine.loop.Submit(Family(id, 1, 24, 1, 40)), IsOk());
    engine.loop.RunOneStep();
    for (size_t rank = 0; rank < 2; ++rank) {
      if (!engine.worker.plans().back()[rank].added.empty()) ranks.push_back(rank);
    }
  }
  ASSERT_THAT(ranks, SizeIs(12));
  EXPECT_THAT(std::vector<size_t>(ranks.begin(), ranks.begin() + 3), Each(0U));
  const auto num_on_second = std::count(ranks.begin(), ranks.end(), size_t{1});
  EXPECT_GE(num_on_second, 3) << "the prefix spreads";
  EXPECT_LE(num_on_second, 9);
  engine.RunUntilIdle();
  EXPECT_TRUE(engine.HoldsNothing());
}

}  // namespace
}  // namespace tessera
