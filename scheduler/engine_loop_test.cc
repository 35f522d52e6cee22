#include "scheduler/engine_loop.h"

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/engine_for_test.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(EngineLoopTest, BringsTheModelsAnswerAndThenHoldsNothing) {
  EngineForTest engine;
  const Request request = RequestOf(1, 5, 20);
  ASSERT_THAT(engine.loop.Submit(request), IsOk());
  engine.RunUntilIdle();
  EXPECT_EQ(engine.sink.Tokens(1), engine.worker.model().Answer(request));
  EXPECT_THAT(engine.sink.Tokens(1), SizeIs(20));
  EXPECT_EQ(engine.sink.Finish(1), FinishReason::kLength);
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(EngineLoopTest, EndsWithTheStopTokenAndWastesOneSliceAtMost) {
  EngineForTest engine({.model = {.script = {{{1, 2}, {70, 71}}}}});
  ASSERT_THAT(engine.loop.Submit({.id = {1}, .prompt = {1, 2}, .max_tokens = 50, .stop_tokens = {9}}), IsOk());
  engine.RunUntilIdle();
  EXPECT_THAT(engine.sink.Tokens(1), ElementsAre(70, 71, 9));
  EXPECT_EQ(engine.sink.Finish(1), FinishReason::kStop);
  EXPECT_EQ(engine.worker.num_wasted_slices(), 1) << "the step after the last was planned before the last had ended";
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(EngineLoopTest, PlansNoSliceBeyondTheLengthThatItKnows) {
  EngineForTest engine;
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 3, 4)), IsOk());
  engine.RunUntilIdle();
  EXPECT_EQ(engine.worker.num_wasted_slices(), 0);
  EXPECT_EQ(engine.worker.num_tokens_run(), 3 + 4 - 1);
}

TEST(EngineLoopTest, PlansTheNextStepWhileOneRuns) {
  EngineForTest engine;
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 3, 9)), IsOk());
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.worker.num_steps(), 1);
  EXPECT_THAT(engine.sink.Tokens(1), IsEmpty()) << "step 1 runs";
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.worker.num_steps(), 2);
  EXPECT_THAT(engine.sink.Tokens(1), SizeIs(1)) << "step 1 is received, step 2 runs";
}

// A context of N holds prompt and generated tokens; the fake worker aborts at a position ≥ N.
TEST(EngineLoopTest, GivesExactlyOneTokenToAPromptThatLeavesRoomForOne) {
  EngineForTest engine;  // a context of 256 tokens
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 255, 1)), IsOk());
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 254, 2)), IsOk());
  EXPECT_THAT(engine.loop.Submit(RequestOf(3, 255, 2)),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("255 tokens and max_tokens 2 make 257")));
  EXPECT_THAT(engine.loop.Submit(RequestOf(4, 256, 1)), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("257")));
  engine.RunUntilIdle();
  EXPECT_THAT(engine.sink.Tokens(1), SizeIs(1));
  EXPECT_EQ(engine.sink.Finish(1), FinishReason::kLength);
  EXPECT_THAT(engine.sink.Tokens(2), SizeIs(2));
  EXPECT_EQ(engine.sink.num_finished(), 2U) << "a refused request leaves nothing behind";
  EXPECT_EQ(engine.loop.Status().num_refused, 2);
}

TEST(EngineLoopTest, RefusesABadFieldByItsName) {
  EngineForTest engine;
  Request request = RequestOf(1, 3, 4);
  request.sampling.top_p = 0;
  EXPECT_THAT(engine.loop.Submit(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("top_p")));
}

TEST(EngineLoopTest, RefusesMoreThanTheQueueHoldsAndTakesMoreOnceSomeRun) {
  EngineForTest engine({}, {.queue_requests_max = 2});
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 3, 4)), IsOk());
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 3, 4)), IsOk());
  EXPECT_THAT(engine.loop.Submit(RequestOf(3, 3, 4)), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("2")));
  engine.loop.RunOneStep();
  EXPECT_THAT(engine.loop.Submit(RequestOf(3, 3, 4)), IsOk());
  engine.RunUntilIdle();
  EXPECT_EQ(engine.sink.num_finished(), 3U);
}

TEST(EngineLoopTest, DropsARequestWhoseDeadlinePassedInTheQueue) {
  EngineForTest engine;
  Request late = RequestOf(1, 3, 4);
  late.deadline = engine.clock.Now() + absl::Milliseconds(50);
  ASSERT_THAT(engine.loop.Submit(late), IsOk());
  engine.clock.Advance(absl::Milliseconds(51));
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.sink.Finish(1), FinishReason::kDeadline);
  EXPECT_EQ(engine.worker.num_steps(), 0) << "work was planned for a client that has gone";
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(EngineLoopTest, EndsARunningRequestAtItsDeadlineAndKeepsWhatItBrought) {
  EngineForTest engine;
  Request request = RequestOf(1, 3, 100);
  request.deadline = engine.clock.Now() + absl::Milliseconds(50);
  ASSERT_THAT(engine.loop.Submit(request), IsOk());
  for (int i = 0; i < 5; ++i) engine.loop.RunOneStep();
  EXPECT_EQ(engine.sink.Finish(1), std::nullopt);
  engine.clock.Advance(absl::Milliseconds(50));
  engine.RunUntilIdle();
  EXPECT_EQ(engine.sink.Finish(1), FinishReason::kDeadline);
  EXPECT_THAT(engine.sink.Tokens(1), SizeIs(4));
  EXPECT_TRUE(engine.HoldsNothing());
}

// A client may go in every phase.
struct Phase {
  std::string name;
  int num_steps;  // taken before the client goes
  int32_t num_prompt;
};
class CancelTest : public testing::TestWithParam<Phase> {};

TEST_P(CancelTest, EndsWithinAStepAndFreesEverything) {
  EngineForTest engine({}, {.step_tokens_max = 16});
  const Request other = RequestOf(2, 3, 30);
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, GetParam().num_prompt, 20)), IsOk());
  ASSERT_THAT(engine.loop.Submit(other), IsOk());
  for (int i = 0; i < GetParam().num_steps; ++i) engine.loop.RunOneStep();
  EXPECT_EQ(engine.sink.Finish(1), std::nullopt);
  engine.loop.Cancel({1});
  engine.loop.Cancel({1});
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.sink.Finish(1), FinishReason::kCancelled);
  EXPECT_LE(engine.loop.Status().num_running, 1);
  EXPECT_LE(engine.loop.Status().num_blocks_used, 64 / 4) << "only the other request's";
  engine.RunUntilIdle();
  EXPECT_EQ(engine.sink.Tokens(2), engine.worker.model().Answer(other)) << "the other request is not harmed";
  EXPECT_EQ(engine.loop.Status().num_finished[static_cast<size_t>(FinishReason::kCancelled)], 1);
  EXPECT_TRUE(engine.HoldsNothing());
}

INSTANTIATE_TEST_SUITE_P(Phases, CancelTest,
                         testing::Values(Phase{"BeforeItWasTaken", 0, 100}, Phase{"InTheFirstPrefillChunk", 1, 100},
                                         Phase{"InTheMiddleOfPrefill", 4, 100}, Phase{"InTheFirstDecode", 2, 5},
                                         Phase{"InDecode", 9, 5}),
                         [](const auto& test_info) { return test_info.param.name; });

TEST(EngineLoopTest, CancelsWhatWaitsBehindOthers) {
  EngineForTest engine({}, {.running_max = 1});
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 3, 30)), IsOk());
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 3, 30)), IsOk());
  for (int i = 0; i < 4; ++i) engine.loop.RunOneStep();
  EXPECT_EQ(engine.loop.Status().num_waiting, 1);
  engine.loop.Cancel({2});
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.sink.Finish(2), FinishReason::kCancelled);
  EXPECT_THAT(engine.sink.Tokens(2), IsEmpty());
  EXPECT_EQ(engine.loop.Status().num_waiting, 0);
}

TEST(EngineLoopTest, IgnoresCancellationsOfEndedAndUnknownRequests) {
  EngineForTest engine;
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 3, 2)), IsOk());
  engine.RunUntilIdle();
  engine.loop.Cancel({1});
  engine.loop.Cancel({77});
  EXPECT_FALSE(engine.loop.RunOneStep());
  EXPECT_EQ(engine.sink.Finish(1), FinishReason::kLength);
  EXPECT_EQ(engine.sink.num_finished(), 1U);
}

TEST(EngineLoopTest, FailsOneRequestWithLogitsThatAreNotFiniteAndNoOther) {
  const Request bad = RequestOf(1, 3, 20);
  const Request good = RequestOf(2, 3, 20);
  EngineForTest engine({.model = {.not_finite_at = {{bad.prompt, 5}}}});
  ASSERT_THAT(engine.loop.Submit(bad), IsOk());
  ASSERT_THAT(engine.loop.Submit(good), IsOk());
  engine.RunUntilIdle();
  EXPECT_EQ(engine.sink.Finish(1), FinishReason::kError);
  EXPECT_THAT(engine.sink.Of(1).status, StatusIs(absl::StatusCode::kInternal, HasSubstr("not finite")));
  EXPECT_THAT(engine.sink.Tokens(1), SizeIs(5));
  EXPECT_EQ(engine.sink.Tokens(2), engine.worker.model().Answer(good));
  EXPECT_EQ(engine.loop.Status().num_failed_numeric, 1);
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(EngineLoopTest, EndsEveryRequestAndTakesNoneWhenTheGroupBreaks) {
  EngineForTest engine({.break_at_step = 4}, {.running_max = 1});
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 3, 20)), IsOk());
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 3, 20)), IsOk());
  engine.RunUntilIdle();
  for (const int64_t id : {1, 2}) {
    EXPECT_EQ(engine.sink.Finish(id), FinishReason::kError);
    EXPECT_THAT(engine.sink.Of(id).status,
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("rank 0: connection lost in step 4")));
  }
  EXPECT_THAT(engine.sink.Tokens(1), SizeIs(3)) << "those of the steps before";
  EXPECT_FALSE(engine.loop.Status().ready);
  EXPECT_THAT(engine.loop.Status().reason, HasSubstr("connection lost in step 4"));
  EXPECT_EQ(engine.loop.Status().num_running, 0);
  EXPECT_THAT(engine.loop.Submit(RequestOf(3, 3, 20)),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("connection lost in step 4")));
  EXPECT_FALSE(engine.loop.RunOneStep());
}

TEST(EngineLoopTest, RunsAcceptedRequestsToTheirEndWhileDraining) {
  EngineForTest engine;
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 3, 20)), IsOk());
  engine.loop.RunOneStep();
  engine.loop.RunOneStep();
  EXPECT_TRUE(engine.loop.Status().ready);
  engine.loop.Drain();
  EXPECT_THAT(engine.loop.Submit(RequestOf(2, 3, 20)), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("drain")));
  EXPECT_FALSE(engine.loop.Status().ready);
  EXPECT_EQ(engine.loop.Status().reason, "draining");
  engine.RunUntilIdle();
  EXPECT_THAT(engine.sink.Tokens(1), SizeIs(20));
}

TEST(EngineLoopTest, IsReadyOnlyAfterAForwardPassOnEveryRank) {
  FakeWorkerOptions options;
  options.limits.num_ranks = 3;
  EngineForTest engine(options);
  EXPECT_FALSE(engine.loop.Status().ready);
  EXPECT_THAT(engine.loop.Status().reason, HasSubstr("no forward pass"));
  ASSERT_THAT(engine.loop.WarmUp(), IsOk());
  EXPECT_TRUE(engine.loop.Status().ready);
  EXPECT_EQ(engine.worker.num_tokens_run(), 3 * 2) << "a prefill and a decode token on each rank";
  EXPECT_TRUE(engine.HoldsNothing());
  const Request request = RequestOf(1, 3, 20);
  ASSERT_THAT(engine.loop.Submit(request), IsOk());
  engine.RunUntilIdle();
  EXPECT_EQ(engine.sink.Tokens(1), engine.worker.model().Answer(request));
}

TEST(EngineLoopTest, IsBrokenWhenTheWarmUpFails) {
  EngineForTest lost({.break_at_step = 2});
  EXPECT_THAT(lost.loop.WarmUp(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("step 2")));
  EXPECT_FALSE(lost.loop.Status().ready);
  EngineForTest not_finite({.model = {.not_finite_at = {{{0}, 1}}}});
  EXPECT_THAT(not_finite.loop.WarmUp(), StatusIs(absl::StatusCode::kInternal, HasSubstr("rank 0 gave 0 tokens")));
  EXPECT_THAT(not_finite.loop.Status().reason, HasSubstr("not finite"));
  EXPECT_THAT(not_finite.loop.Submit(RequestOf(1, 3, 4)), StatusIs(absl::StatusCode::kUnavailable, testing::_));
}

TEST(EngineLoopTest, ContinuesARequestThatComesWithGeneratedTokens) {
  EngineForTest engine;
  Request request = RequestOf(1, 6, 20);
  request.sampling.num_prompt_logprobs = 0;
  const std::vector<TokenId> whole = engine.worker.model().Answer(request);
  request.generated = {whole.begin(), whole.begin() + 7};
  ASSERT_THAT(engine.loop.Submit(request), IsOk());
  engine.RunUntilIdle();
  EXPECT_EQ(engine.sink.Tokens(1), std::vector<TokenId>(whole.begin() + 7, whole.end()));
  EXPECT_THAT(engine.sink.Of(1).prompt_logprobs, IsEmpty()) << "they came before the first generated token";
}

TEST(EngineLoopTest, BringsLogprobsOfEachTokenAndPromptPosition) {
  EngineForTest engine({}, {.step_tokens_max = 4});
  Request request = RequestOf(1, 10, 3);
  request.sampling.num_logprobs = 2;
  request.sampling.num_prompt_logprobs = 1;
  ASSERT_THAT(engine.loop.Submit(request), IsOk());
  engine.RunUntilIdle();
  const RequestTokens got = engine.sink.Of(1);
  ASSERT_THAT(got.prompt_logprobs, SizeIs(9));
  for (size_t i = 0; i < 9; ++i) EXPECT_EQ(got.prompt_logprobs[i].token.token, request.prompt[i + 1]);
  ASSERT_THAT(got.logprobs, SizeIs(3));
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(got.logprobs[i].token.token, got.tokens[i]);
}

TEST(EngineLoopTest, CountsWhatItDid) {
  FakeWorkerOptions options;
  options.limits.num_ranks = 2;
  EngineForTest engine(options, {.step_tokens_max = 8});
  EXPECT_EQ(engine.loop.Status().num_blocks_total, 2 * 64) << "true without traffic";
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 12, 3)), IsOk());
  EXPECT_EQ(engine.loop.Status().num_waiting, 1);
  EXPECT_EQ(engine.loop.Status().num_waiting_tokens, 12);
  engine.clock.Advance(absl::Seconds(2));
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.loop.Status().num_running, 1);
  EXPECT_EQ(engine.loop.Status().num_waiting, 0);
  EXPECT_EQ(engine.loop.Status().num_blocks_used, 3);
  const absl::Time started = engine.clock.Now();
  engine.clock.Advance(absl::Seconds(2));
  engine.RunUntilIdle();
  const EngineStatus status = engine.loop.Status();
  EXPECT_EQ(status.num_prompt_tokens, 12);
  EXPECT_EQ(status.num_generated_tokens, 3);
  EXPECT_EQ(status.num_step_tokens, 14);
  EXPECT_EQ(status.num_steps, 5) << "two chunks, two decode tokens, one to forget";
  EXPECT_THAT(status.num_steps_by_tokens, ElementsAre(2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(status.num_finished[static_cast<size_t>(FinishReason::kLength)], 1);
  EXPECT_EQ(status.last_progress, engine.clock.Now());
  EXPECT_EQ(engine.sink.Of(1).started, started);
}

}  // namespace
}  // namespace tessera
