// What goes into a step and where a sequence runs, seen through the plans that reach the workers.

#include "scheduler/step_planner.h"

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/engine_for_test.h"

namespace tessera {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

FakeWorkerOptions Ranks(int32_t num_ranks) {
  FakeWorkerOptions options;
  options.limits.num_ranks = num_ranks;
  return options;
}

TEST(StepPlannerTest, DecodesFirstAndFillsTheBudgetWithPrefill) {
  EngineForTest engine({}, {.step_tokens_max = 8});
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 3, 20)), IsOk());
  engine.loop.RunOneStep();
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 30, 20)), IsOk());
  for (int i = 0; i < 6; ++i) engine.loop.RunOneStep();
  EXPECT_THAT(engine.SliceTokens(1), ElementsAre(3));
  EXPECT_THAT(engine.SliceTokens(2), ElementsAre(1, 7));
  EXPECT_THAT(engine.SliceTokens(3), ElementsAre(1, 7));
  EXPECT_THAT(engine.SliceTokens(6), ElementsAre(1, 2)) << "30 = 4 · 7 + 2";
  EXPECT_THAT(engine.SliceTokens(7), ElementsAre(1, 1)) << "both decode";
}

TEST(StepPlannerTest, LimitsTheChunkOfOnePromptSoThatOthersGetAShare) {
  EngineForTest engine({}, {.step_tokens_max = 16, .prefill_chunk_tokens_max = 10});
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 40, 1)), IsOk());
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 4, 1)), IsOk());
  engine.loop.RunOneStep();
  EXPECT_THAT(engine.SliceTokens(1), ElementsAre(10, 4));
}

TEST(StepPlannerTest, StartsByPriorityThenArrival) {
  EngineForTest engine({}, {.running_max = 1});
  for (const int64_t id : {1, 2, 3}) {
    Request request = RequestOf(id, 3, 2);
    request.priority = id == 3 ? -1 : 0;
    ASSERT_THAT(engine.loop.Submit(request), IsOk());
    engine.clock.Advance(absl::Seconds(1));
  }
  Request resubmitted = RequestOf(4, 3, 2);
  resubmitted.arrival = engine.clock.Now() - absl::Seconds(60);
  ASSERT_THAT(engine.loop.Submit(resubmitted), IsOk());
  engine.RunUntilIdle();
  std::vector<TokenId> first_tokens;
  for (const auto& step : engine.worker.plans()) {
    for (const AddedSequence& added : step[0].added) first_tokens.push_back(added.prompt[0]);
  }
  EXPECT_THAT(first_tokens, ElementsAre(3 * 31, 4 * 31, 1 * 31, 2 * 31));
}

TEST(StepPlannerTest, NeverRunsMoreSequencesOnARankThanConfigured) {
  EngineForTest engine(Ranks(2), {.running_max = 3});
  for (int64_t id = 0; id < 20; ++id) ASSERT_THAT(engine.loop.Submit(RequestOf(id, 3, 5)), IsOk());
  engine.RunUntilIdle();
  size_t most = 0;
  for (const auto& step : engine.worker.plans()) {
    for (const StepPlan& plan : step) most = std::max(most, plan.slices.size());
  }
  EXPECT_EQ(most, 3U);
  EXPECT_EQ(engine.sink.num_finished(), 20U);
}

TEST(StepPlannerTest, PutsASequenceOnTheRankWithLeastOnHand) {
  EngineForTest engine(Ranks(3));
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 40, 20)), IsOk());
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 9, 20)), IsOk());
  ASSERT_THAT(engine.loop.Submit(RequestOf(3, 3, 20)), IsOk());
  ASSERT_THAT(engine.loop.Submit(RequestOf(4, 3, 20)), IsOk());
  engine.loop.RunOneStep();
  EXPECT_THAT(engine.SliceTokens(1, 0), ElementsAre(40));
  EXPECT_THAT(engine.SliceTokens(1, 1), ElementsAre(9));
  EXPECT_THAT(engine.SliceTokens(1, 2), ElementsAre(3, 3));
}

// Ranks without a token take part in every step; their number of steps stays equal. The fake worker aborts on
// a step that lacks a rank's plan.
TEST(StepPlannerTest, PlansEveryStepForEveryRankAlsoWithoutTokens) {
  EngineForTest engine(Ranks(4));
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 5, 6)), IsOk());
  engine.RunUntilIdle();
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 5, 6)), IsOk());
  engine.RunUntilIdle();
  ASSERT_THAT(engine.worker.plans(), SizeIs(14)) << "6 and one to forget, twice";
  for (const auto& step : engine.worker.plans()) {
    ASSERT_THAT(step, SizeIs(4));
    for (size_t rank = 0; rank < 4; ++rank) {
      EXPECT_EQ(step[rank].tokens_per_rank, step[0].tokens_per_rank);
      EXPECT_EQ(step[rank].tokens_per_rank[rank] == 0, step[rank].slices.empty());
    }
    EXPECT_THAT(std::vector<int32_t>(step[0].tokens_per_rank.begin() + 1, step[0].tokens_per_rank.end()), Each(0));
  }
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(StepPlannerTest, PlansNothingWhenThereIsNothingToDo) {
  EngineForTest engine(Ranks(4));
  EXPECT_FALSE(engine.loop.RunOneStep());
  EXPECT_EQ(engine.worker.num_steps(), 0);
  EXPECT_EQ(engine.sink.num_batches(), 0U);
}

TEST(StepPlannerTest, StartsASequenceOnlyIfThoseThatMayGrowFindTheirNextBlock) {
  FakeWorkerOptions options;
  options.limits.num_blocks = 6;
  EngineForTest engine(options);
  for (const int64_t id : {1, 2, 3, 4}) ASSERT_THAT(engine.loop.Submit(RequestOf(id, 4, 9)), IsOk());
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.loop.Status().num_running, 3) << "three of one block each; a fourth would leave two for four";
  EXPECT_EQ(engine.loop.Status().num_waiting, 1);
}

TEST(StepPlannerTest, StartsAsManyAsFitWhenNoneCanGrow) {
  FakeWorkerOptions options;
  options.limits.num_blocks = 6;
  EngineForTest engine(options, {.free_blocks_min_fraction = 0});
  for (int64_t id = 0; id < 7; ++id) ASSERT_THAT(engine.loop.Submit(RequestOf(id, 3, 2)), IsOk());
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.loop.Status().num_running, 6);
}

TEST(StepPlannerTest, LetsNobodyOvertakeALargeRequestThatWaitsForRoom) {
  FakeWorkerOptions options;
  options.limits.num_blocks = 10;
  EngineForTest engine(options);
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 16, 8)), IsOk());
  engine.clock.Advance(absl::Seconds(1));
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 36, 4)), IsOk());
  engine.clock.Advance(absl::Seconds(1));
  for (int64_t id = 3; id < 9; ++id) ASSERT_THAT(engine.loop.Submit(RequestOf(id, 2, 2)), IsOk());
  engine.RunUntilIdle();
  std::vector<size_t> lengths;
  for (const auto& step : engine.worker.plans()) {
    for (const AddedSequence& added : step[0].added) lengths.push_back(added.prompt.size());
  }
  EXPECT_THAT(lengths, ElementsAre(16, 36, 2, 2, 2, 2, 2, 2));
}

TEST(StepPlannerTest, GivesBlocksOfAnEndedSequenceAwayOnlyInAPlanThatFreesIt) {
  FakeWorkerOptions options;
  options.limits.num_blocks = 2;
  EngineForTest engine(options);
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 5, 3)), IsOk());
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 5, 3)), IsOk());
  engine.RunUntilIdle();  // the fake worker aborts when a live sequence's block is given away
  for (const auto& step : engine.worker.plans()) {
    if (step[0].added.empty() || step[0].step == 1) continue;
    EXPECT_THAT(step[0].freed, SizeIs(1)) << "the second starts in the plan that frees the first";
  }
  EXPECT_EQ(engine.sink.num_finished(), 2U);
}

}  // namespace
}  // namespace tessera
