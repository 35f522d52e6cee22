// Steps with drafts: slices are planned by upper bounds and corrected by results. The fake worker aborts on a slice
// that leaves its sequence's blocks when all drafts are accepted.

#include <tuple>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/engine_for_test.h"

namespace tessera {
namespace {

using testing::Each;
using testing::ElementsAre;

FakeWorkerOptions Drafting(int32_t draft_tokens_max, double right_draft_share) {
  FakeWorkerOptions options;
  options.limits.draft_tokens_max = draft_tokens_max;
  options.model.right_draft_share = right_draft_share;
  return options;
}

TEST(DraftsTest, NeedsAFifthOfTheStepsWhenFourDraftsAreAlwaysRight) {
  EngineForTest engine(Drafting(4, 1), {.adapts_drafts = false});
  const Request request = RequestOf(1, 5, 41);
  ASSERT_THAT(engine.loop.Submit(request), IsOk());
  engine.RunUntilIdle();
  EXPECT_EQ(engine.sink.Tokens(1), engine.worker.model().Answer(request));
  const EngineStatus status = engine.loop.Status();
  EXPECT_EQ(status.num_generated_tokens, 41);
  EXPECT_EQ(status.num_drafts, 8) << "one token by the prompt, then eight times five";
  EXPECT_EQ(status.num_draft_tokens, 32);
  EXPECT_THAT(status.num_accepted_by_position, ElementsAre(8, 8, 8, 8));
  EXPECT_LE(status.num_steps, 1 + 8 + 2) << "one planned too many at most, and one to forget";
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(DraftsTest, GivesTheSameTokensWhateverTheDraftsAreWorth) {
  const Request request = RequestOf(1, 5, 60);
  for (const int32_t draft_tokens : {0, 1, 2, 4}) {
    for (const double share : {0.0, 0.5, 1.0}) {
      EngineForTest engine(Drafting(4, share), {.draft_tokens = draft_tokens, .adapts_drafts = false});
      ASSERT_THAT(engine.loop.Submit(request), IsOk());
      engine.RunUntilIdle();
      EXPECT_EQ(engine.sink.Tokens(1), engine.worker.model().Answer(request));
      EXPECT_EQ(engine.loop.Status().num_draft_tokens > 0, draft_tokens > 0);
      EXPECT_EQ(engine.loop.Status().num_accepted_by_position[0] > 0, draft_tokens > 0 && share > 0);
      EXPECT_TRUE(engine.HoldsNothing());
    }
  }
}

TEST(DraftsTest, PlansOneDecodeSliceOfTheUpperBoundAndAsksForDraftsWhereSomethingIsSampled) {
  EngineForTest engine(Drafting(2, 0), {.prefill_chunk_tokens_max = 4, .adapts_drafts = false});
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 7, 5)), IsOk());
  engine.RunUntilIdle();
  std::vector<int32_t> drafts;
  for (const auto& step : engine.worker.plans()) drafts.push_back(step[0].draft_tokens);
  EXPECT_THAT(engine.SliceTokens(1), ElementsAre(4));
  EXPECT_THAT(engine.SliceTokens(2), ElementsAre(3));
  EXPECT_THAT(engine.SliceTokens(3), ElementsAre(3));
  EXPECT_THAT(engine.SliceTokens(4), ElementsAre(3)) << "positions 8 to 10 when nothing was accepted";
  EXPECT_THAT(engine.SliceTokens(5), ElementsAre(2)) << "11 positions are all that may ever be computed";
  EXPECT_THAT(engine.SliceTokens(6), ElementsAre(1));
  EXPECT_EQ(drafts[0], 0) << "a part of a prompt samples nothing";
  EXPECT_THAT(std::vector<int32_t>(drafts.begin() + 1, drafts.begin() + 6), Each(2));
}

TEST(DraftsTest, LeavesHalfOfTheBudgetBesideDecodeToPrompts) {
  FakeWorkerOptions options = Drafting(4, 1);
  options.limits.step_tokens_max = 16;
  EngineForTest engine(options, {.adapts_drafts = false});
  for (const int64_t id : {1, 2}) ASSERT_THAT(engine.loop.Submit(RequestOf(id, 2, 60)), IsOk());
  engine.loop.RunOneStep();
  engine.loop.RunOneStep();
  ASSERT_THAT(engine.loop.Submit(RequestOf(3, 40, 10)), IsOk());
  engine.loop.RunOneStep();
  EXPECT_THAT(engine.SliceTokens(2), ElementsAre(4, 4)) << "3 drafts each: 14 / 2 / 2";
  EXPECT_THAT(engine.SliceTokens(3), ElementsAre(4, 4, 8));
  engine.RunUntilIdle();
  for (const auto& [id, num_prompt, max_tokens] : {std::tuple(1, 2, 60), std::tuple(2, 2, 60), std::tuple(3, 40, 10)}) {
    EXPECT_EQ(engine.sink.Tokens(id), engine.worker.model().Answer(RequestOf(id, num_prompt, max_tokens)));
  }
}

TEST(DraftsTest, DoesWithoutDraftsRatherThanTakeABlockThatAnotherNeeds) {
  FakeWorkerOptions options = Drafting(4, 1);
  options.limits.num_blocks = 6;
  EngineForTest engine(options, {.adapts_drafts = false});
  std::vector<Request> requests;
  for (const int64_t id : {1, 2, 3}) {
    requests.push_back(RequestOf(id, 2, 7));  // 8 positions: two blocks each, all of the cache
    ASSERT_THAT(engine.loop.Submit(requests.back()), IsOk());
  }
  engine.RunUntilIdle();
  EXPECT_EQ(engine.loop.Status().num_preemptions, 0);
  for (const Request& request : requests) {
    EXPECT_EQ(engine.sink.Tokens(request.id.value), engine.worker.model().Answer(request));
  }
}

TEST(DraftsTest, EndsAtAStopTokenInTheMiddleOfADraft) {
  FakeWorkerOptions options = Drafting(4, 1);
  options.model.script = {{{1, 2}, {70, 71, 72}}};
  EngineForTest engine(options, {.adapts_drafts = false});
  ASSERT_THAT(engine.loop.Submit({.id = {1}, .prompt = {1, 2}, .max_tokens = 50, .stop_tokens = {9}}), IsOk());
  engine.RunUntilIdle();
  EXPECT_THAT(engine.sink.Tokens(1), ElementsAre(70, 71, 72, 9));
  EXPECT_EQ(engine.sink.Finish(1), FinishReason::kStop);
  EXPECT_TRUE(engine.HoldsNothing());
}

// Steps take 1 ms, and `draft_cost` more with drafts.
int64_t NumStepsWithDrafts(absl::Duration draft_cost, double right_draft_share) {
  FakeWorkerOptions options = Drafting(1, right_draft_share);
  options.limits.context_tokens_max = 2000;
  options.limits.num_blocks = 500;
  options.duration = [draft_cost](const StepPlan& plan) {
    return absl::Milliseconds(1) + (plan.draft_tokens > 0 ? draft_cost : absl::ZeroDuration());
  };
  EngineForTest engine(options);
  EXPECT_THAT(engine.loop.Submit(RequestOf(1, 5, 1000)), IsOk());
  engine.RunUntilIdle();
  EXPECT_EQ(engine.sink.Tokens(1), engine.worker.model().Answer(RequestOf(1, 5, 1000)));
  int64_t num_steps = 0;
  for (const auto& step : engine.worker.plans()) num_steps += step[0].draft_tokens > 0 ? 1 : 0;
  return num_steps * 100 / static_cast<int64_t>(engine.worker.plans().size());
}

TEST(DraftsTest, SwitchesDraftsOffWhereTheyDoNotPay) {
  EXPECT_GT(NumStepsWithDrafts(absl::Microseconds(200), 0.9), 90) << "percent: 1.9 tokens in 1.2 times the time";
  EXPECT_LT(NumStepsWithDrafts(absl::Microseconds(500), 0.2), 10) << "percent: 1.2 tokens in 1.5 times the time";
}

}  // namespace
}  // namespace tessera
