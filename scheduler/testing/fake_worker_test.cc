#include "scheduler/testing/fake_worker.h"

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/testing/recording_sink.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

StepPlan Plan(int64_t step, std::vector<Slice> slices) {
  StepPlan plan{.step = step, .tokens_per_rank = {0}, .slices = std::move(slices)};
  for (const Slice& slice : plan.slices) plan.tokens_per_rank[0] += slice.num_tokens;
  return plan;
}

StepPlan PlanWith(int64_t step, AddedSequence added, std::vector<BlockId> blocks, int32_t num_tokens) {
  StepPlan plan = Plan(step, {{added.sequence, num_tokens}});
  plan.blocks.push_back({added.sequence, std::move(blocks)});
  plan.added.push_back(std::move(added));
  return plan;
}

TEST(FakeWorkerTest, GivesTheModelsAnswerStepByStep) {
  FakeWorker worker;
  const Request request{.prompt = {1, 2, 3}, .max_tokens = 3};
  std::vector<TokenId> tokens;
  for (int64_t step = 1; step <= 3; ++step) {
    worker.Submit({step == 1 ? PlanWith(1, {.sequence = {0}, .prompt = {1, 2, 3}, .max_tokens = 3}, {0, 1}, 3)
                             : Plan(step, {{{0}, 1}})});
    const auto results = worker.Receive();
    ASSERT_THAT(results, IsOk());
    ASSERT_EQ((*results)[0].sequences.size(), 1U);
    tokens.push_back((*results)[0].sequences[0].tokens.at(0));
    EXPECT_EQ((*results)[0].sequences[0].finish.has_value(), step == 3);
  }
  EXPECT_EQ(tokens, worker.model().Answer(request));
}

TEST(FakeWorkerTest, ContinuesEquallyFromGeneratedTokens) {
  FakeModel model({});
  Request request{.prompt = {4, 5}, .max_tokens = 9};
  const std::vector<TokenId> whole = model.Answer(request);
  request.generated = {whole.begin(), whole.begin() + 4};
  EXPECT_EQ(model.Answer(request), whole);
}

TEST(FakeWorkerTest, FollowsTheScriptAndThenStops) {
  FakeModel model({.script = {{{1, 2}, {70, 71}}}});
  EXPECT_THAT(model.Answer({.prompt = {1, 2}, .max_tokens = 9, .stop_tokens = {0}}), ElementsAre(70, 71, 0));
  EXPECT_THAT(model.Answer({.prompt = {1, 2}, .max_tokens = 1, .stop_tokens = {0}}), ElementsAre(70));
}

TEST(FakeWorkerTest, ListsNothingForAPartOfAPromptAndNothingForASliceAfterTheEnd) {
  FakeWorker worker;
  worker.Submit({PlanWith(1, {.sequence = {0}, .prompt = {1, 2, 3}, .max_tokens = 1}, {0}, 2)});
  worker.Submit({Plan(2, {{{0}, 1}})});
  EXPECT_THAT((*worker.Receive())[0].sequences, IsEmpty());
  EXPECT_EQ((*worker.Receive())[0].sequences[0].finish, FinishReason::kLength);
  worker.Submit({Plan(3, {{{0}, 1}})});
  EXPECT_THAT((*worker.Receive())[0].sequences, IsEmpty());
  EXPECT_EQ(worker.num_wasted_slices(), 1);
}

TEST(FakeWorkerTest, BringsEachPromptLogprobOnceOverChunks) {
  FakeWorker worker;
  AddedSequence added{.sequence = {0}, .prompt = {7, 8, 9}, .max_tokens = 1};
  added.sampling.num_prompt_logprobs = 0;
  worker.Submit({PlanWith(1, added, {0}, 1)});
  worker.Submit({Plan(2, {{{0}, 2}})});
  std::vector<TokenId> positions;
  for (int i = 0; i < 2; ++i) {
    const auto results = worker.Receive();
    for (const PositionLogprobs& one : (*results)[0].sequences.at(0).prompt_logprobs) {
      positions.push_back(one.token.token);
    }
  }
  EXPECT_THAT(positions, ElementsAre(8, 9));
}

TEST(FakeWorkerTest, FailsInTheStepThatIsAskedFor) {
  FakeWorker worker({.break_at_step = 2});
  worker.Submit({Plan(1, {})});
  worker.Submit({Plan(2, {})});
  EXPECT_THAT(worker.Receive(), IsOk());
  EXPECT_THAT(worker.Receive(), StatusIs(absl::StatusCode::kUnavailable, testing::HasSubstr("step 2")));
}

class FakeWorkerDeathTest : public testing::Test {
 protected:
  static AddedSequence Added(int64_t id) { return {.sequence = {id}, .prompt = {1, 2, 3, 4, 5}, .max_tokens = 5}; }
  FakeWorker worker_;
};

TEST_F(FakeWorkerDeathTest, AbortsOnAGapInTheStepNumbers) { EXPECT_DEATH(worker_.Submit({Plan(2, {})}), "last_step_"); }

TEST_F(FakeWorkerDeathTest, AbortsOnAThirdStepUnderWay) {
  worker_.Submit({Plan(1, {})});
  worker_.Submit({Plan(2, {})});
  EXPECT_DEATH(worker_.Submit({Plan(3, {})}), "under_way_");
}

TEST_F(FakeWorkerDeathTest, AbortsOnAMissingRank) { EXPECT_DEATH(worker_.Submit({}), "ranks_"); }

TEST_F(FakeWorkerDeathTest, AbortsOnWrongTokensPerRank) {
  StepPlan plan = PlanWith(1, Added(0), {0, 1}, 5);
  plan.tokens_per_rank[0] = 4;
  EXPECT_DEATH(worker_.Submit({plan}), "tokens_per_rank");
}

TEST_F(FakeWorkerDeathTest, AbortsOnABlockOfALiveSequence) {
  worker_.Submit({PlanWith(1, Added(0), {0, 1}, 5)});
  EXPECT_DEATH(worker_.Submit({PlanWith(2, Added(1), {1, 2}, 5)}), "owner");
}

TEST_F(FakeWorkerDeathTest, AbortsOnTooFewBlocks) {
  EXPECT_DEATH(worker_.Submit({PlanWith(1, Added(0), {0}, 5)}), "NumSlots");
}

TEST_F(FakeWorkerDeathTest, AbortsOnASliceOfAFreedSequence) {
  worker_.Submit({PlanWith(1, Added(0), {0, 1}, 5)});
  StepPlan plan = Plan(2, {{{0}, 1}});
  plan.freed = {{0}};
  EXPECT_DEATH(worker_.Submit({plan}), "sequences.end");
}

TEST_F(FakeWorkerDeathTest, AbortsOnASliceBeyondTheKnownTokens) {
  EXPECT_DEATH(worker_.Submit({PlanWith(1, Added(0), {0, 1}, 6)}), "num_known");
}

TEST_F(FakeWorkerDeathTest, AbortsOnTwoSlicesOfASequenceAndOnDecodeAfterPrefill) {
  worker_.Submit({PlanWith(1, Added(0), {0, 1}, 5)});
  EXPECT_DEATH(worker_.Submit({Plan(2, {{{0}, 1}, {{0}, 1}})}), "last_slice_step");
  StepPlan plan = PlanWith(2, Added(1), {2, 3}, 5);
  plan.slices.push_back({{0}, 1});
  plan.tokens_per_rank = {6};
  EXPECT_DEATH(worker_.Submit({plan}), "prefill_seen");
}

TEST_F(FakeWorkerDeathTest, AbortsOnAnIdUsedTwice) {
  worker_.Submit({PlanWith(1, Added(0), {0, 1}, 5)});
  StepPlan plan = PlanWith(2, Added(0), {2, 3}, 5);
  plan.freed = {{0}};
  EXPECT_DEATH(worker_.Submit({plan}), "ids_seen_");
}

TEST(RecordingSinkDeathTest, AbortsOnTokensAfterTheEnd) {
  RecordingSink sink;
  sink.OnTokens({.requests = {{.request = {1}, .finish = FinishReason::kStop}}});
  EXPECT_DEATH(sink.OnTokens({.requests = {{.request = {1}, .tokens = {5}}}}), "finish");
}

}  // namespace
}  // namespace tessera
