#include "scheduler/simulation/simulated_worker.h"

#include <utility>
#include <vector>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

constexpr TokenId kStop = 0;

SimulatedWorkerConfig Config(int32_t num_ranks = 1) {
  return {.limits = {.num_ranks = num_ranks,
                     .num_blocks = 16,
                     .block_tokens = 4,
                     .step_tokens_max = 32,
                     .sequences_max = 4,
                     .context_tokens_max = 64,
                     .vocab_size = 100,
                     .draft_tokens_max = 4},
          .cost = {.step = absl::Milliseconds(100),
                   .prefill_token = absl::Milliseconds(10),
                   .decode_token = absl::Milliseconds(1),
                   .draft_pass = absl::Microseconds(100),
                   .cache_token = absl::Microseconds(1)}};
}

StepPlan Plan(int64_t step) { return {.step = step, .tokens_per_rank = {0}}; }

StepPlan AddPrompt(int64_t step, int64_t sequence, int32_t num_prompt, int32_t num_output, int32_t max_tokens) {
  StepPlan plan = Plan(step);
  plan.added.push_back({.sequence = {sequence},
                        .prompt = std::vector<TokenId>(static_cast<size_t>(num_prompt), 1),
                        .max_tokens = max_tokens,
                        .min_tokens = num_output - 1,
                        .stop_tokens = {kStop}});
  plan.blocks.push_back({{sequence}, std::vector<BlockId>(8)});
  plan.slices.push_back({{sequence}, num_prompt});
  return plan;
}

StepPlan Decode(int64_t step, int64_t sequence, int32_t num_tokens = 1) {
  StepPlan plan = Plan(step);
  plan.slices.push_back({{sequence}, num_tokens});
  return plan;
}

TEST(SimulatedWorkerTest, StepsTakeTheirCostOneAfterAnother) {
  FakeClock clock;
  SimulatedWorker worker(Config(), clock);
  const absl::Time start = clock.Now();
  worker.Submit({AddPrompt(1, 0, 8, 5, 10)});
  worker.Submit({Decode(2, 0)});  // waits for the first
  EXPECT_EQ(clock.Now(), start);
  std::vector<StepResult> results = *worker.Receive();
  EXPECT_EQ(clock.Now() - start, absl::Milliseconds(180));
  EXPECT_EQ(results[0].duration, absl::Milliseconds(180));
  EXPECT_THAT(results[0].sequences[0].tokens, testing::ElementsAre(1));
  results = *worker.Receive();
  EXPECT_EQ(results[0].duration, absl::Milliseconds(101) + absl::Microseconds(8));  // eight tokens are read
  EXPECT_THAT(results[0].sequences[0].tokens, testing::ElementsAre(2));
  EXPECT_EQ(worker.busy(), clock.Now() - start);

  clock.Advance(absl::Seconds(1));  // idle
  worker.Submit({Decode(3, 0)});
  EXPECT_EQ(worker.Receive()->front().duration, absl::Milliseconds(101) + absl::Microseconds(9));
  EXPECT_EQ(clock.Now() - start - worker.busy(), absl::Seconds(1));
}

TEST(SimulatedWorkerTest, TheSlowestRankSetsTheStepsTime) {
  FakeClock clock;
  SimulatedWorker worker(Config(/*num_ranks=*/2), clock);
  worker.Submit({Plan(1), AddPrompt(1, 0, 20, 5, 10)});
  const std::vector<StepResult> results = *worker.Receive();
  EXPECT_EQ(results[0].duration, absl::Milliseconds(300));
  EXPECT_EQ(results[1].duration, absl::Milliseconds(300));
  EXPECT_TRUE(results[0].sequences.empty());
}

TEST(SimulatedWorkerTest, AnAnswerEndsWhereTheTraceSaysOrAtItsLimit) {
  FakeClock clock;
  SimulatedWorker worker(Config(), clock);
  StepPlan plan = AddPrompt(1, 0, 4, /*num_output=*/2, /*max_tokens=*/9);
  StepPlan other = AddPrompt(1, 1, 4, /*num_output=*/9, /*max_tokens=*/2);
  plan.added.push_back(other.added.front());
  plan.blocks.push_back(other.blocks.front());
  plan.slices.push_back(other.slices.front());
  worker.Submit({plan});
  EXPECT_THAT(worker.Receive()->front().sequences, testing::SizeIs(2));
  StepPlan decode = Decode(2, 0);
  decode.slices.push_back({{1}, 1});
  worker.Submit({decode});
  decode.step = 3;
  worker.Submit({decode});
  const std::vector<StepResult> results = *worker.Receive();
  EXPECT_THAT(results[0].sequences[0].tokens, testing::ElementsAre(kStop));
  EXPECT_EQ(results[0].sequences[0].finish, FinishReason::kStop);
  EXPECT_EQ(results[0].sequences[1].finish, FinishReason::kLength);
  EXPECT_TRUE(worker.Receive()->front().sequences.empty()) << "they had ended";
  EXPECT_EQ(worker.num_sequences(), 2);
  StepPlan free = Plan(4);
  free.freed = {{0}, {1}};
  worker.Submit({free});
  EXPECT_EQ(worker.num_sequences(), 0);
}

TEST(SimulatedWorkerTest, AChunkWithoutThePromptsEndBringsNothingAndCachedTokensAreNotRun) {
  FakeClock clock;
  SimulatedWorker worker(Config(), clock);
  StepPlan plan = AddPrompt(1, 0, 16, 5, 10);
  plan.added[0].num_cached_tokens = 8;
  plan.slices[0].num_tokens = 5;
  worker.Submit({plan});
  const StepResult result = worker.Receive()->front();
  EXPECT_TRUE(result.sequences.empty());
  EXPECT_EQ(result.duration, absl::Milliseconds(150) + absl::Microseconds(8));
  worker.Submit({Decode(2, 0, 3)});
  EXPECT_THAT(worker.Receive()->front().sequences[0].tokens, testing::ElementsAre(1));
}

TEST(SimulatedWorkerTest, AcceptedDraftsBringSeveralTokensInOrder) {
  FakeClock clock;
  SimulatedWorkerConfig config = Config();
  config.draft_acceptance = 1;
  SimulatedWorker worker(config, clock);
  StepPlan plan = AddPrompt(1, 0, 4, 20, 20);
  plan.draft_tokens = 2;
  worker.Submit({plan});
  EXPECT_EQ(worker.Receive()->front().duration, absl::Milliseconds(140) + absl::Microseconds(200));
  worker.Submit({Decode(2, 0, 3)});
  StepResult result = worker.Receive()->front();
  EXPECT_THAT(result.sequences[0].tokens, testing::ElementsAre(2, 3, 4));
  ASSERT_THAT(result.drafts, testing::SizeIs(2));
  EXPECT_EQ(result.drafts[1].num_accepted, 1);
  EXPECT_EQ(result.duration, absl::Milliseconds(103) + absl::Microseconds(4));
  worker.Submit({Decode(3, 0, 3)});  // the last plan drafted nothing
  EXPECT_THAT(worker.Receive()->front().sequences[0].tokens, testing::ElementsAre(5));
}

TEST(SimulatedWorkerTest, DraftsAreAcceptedAsOftenAsAsked) {
  FakeClock clock;
  SimulatedWorkerConfig config = Config();
  config.limits.context_tokens_max = 10'000;
  config.draft_acceptance = 0.7;
  SimulatedWorker worker(config, clock);
  StepPlan plan = AddPrompt(1, 0, 4, 9000, 9000);
  plan.blocks[0].blocks.resize(4000);
  plan.draft_tokens = 2;
  worker.Submit({plan});
  ASSERT_TRUE(worker.Receive().ok());
  DraftCounts first, second;
  for (int64_t step = 2; step < 2002; ++step) {
    StepPlan decode = Decode(step, 0, 3);
    decode.draft_tokens = 2;
    worker.Submit({decode});
    const StepResult result = worker.Receive()->front();
    first.num_drafted += result.drafts[0].num_drafted;
    first.num_accepted += result.drafts[0].num_accepted;
    second.num_accepted += result.drafts[1].num_accepted;
  }
  EXPECT_EQ(first.num_drafted, 2000);
  EXPECT_NEAR(static_cast<double>(first.num_accepted), 1400, 80);
  EXPECT_NEAR(static_cast<double>(second.num_accepted), 980, 80);
}

TEST(SimulatedWorkerDeathTest, AbortsOnPlansThatNoWorkerCouldRun) {
  FakeClock clock;
  SimulatedWorker worker(Config(), clock);
  EXPECT_DEATH(worker.Submit({Plan(2)}), "step");
  EXPECT_DEATH(worker.Submit({Decode(1, 7)}), "sequence");
  EXPECT_DEATH(worker.Submit({AddPrompt(1, 0, 33, 1, 1)}), "num_blocks");
  StepPlan too_many = AddPrompt(1, 0, 30, 1, 1);
  too_many.slices[0].num_tokens = 31;
  EXPECT_DEATH(worker.Submit({too_many}), "num_known");
}

TEST(StepCostTest, PresetsAreUsable) {
  for (const CostPreset& preset : CostPresets()) {
    EXPECT_THAT(Validate(preset.cost), IsOk()) << preset.name;
    EXPECT_EQ(FindCostPreset(preset.name), &preset);
    EXPECT_EQ(preset.limits.num_ranks, 1);
  }
  EXPECT_EQ(FindCostPreset("b200"), nullptr);
}

TEST(StepCostTest, RefusesAStepThatTakesNoTime) {
  EXPECT_THAT(Validate(StepCost{}), StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("step: got 0")));
  EXPECT_FALSE(Validate(StepCost{.step = absl::Seconds(1), .decode_token = -absl::Seconds(1)}).ok());
}

}  // namespace
}  // namespace tessera
