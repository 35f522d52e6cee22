#include "worker/step_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/status_matchers.h"
#include "kernels/reference/reference_backend.h"
#include "worker/model/testing/changed_checkpoint.h"
#include "worker/model/testing/test_rank.h"
#include "worker/testing/plan_driver.h"
#include "worker/testing/same_output.h"
#include "worker/testing/test_group.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class StepRunnerTest : public testing::Test {
 protected:
  // Runs one sequence alone, on a new group of one rank.
  PlanDriver::Output Run(const AddedSequence& sequence, int32_t chunk = 64) const {
    return Run(sequence, chunk, TestGroupOptions(1));
  }
  PlanDriver::Output Run(const AddedSequence& sequence, int32_t chunk, const WorkerGroupOptions& options) const {
    const auto group = MakeTestGroup(*checkpoint_, options, clock_);
    PlanDriver driver(*group, chunk);
    driver.Add(0, sequence);
    TESSERA_CHECK_OK(driver.RunToEnd());
    return driver.output(sequence.sequence);
  }

  const RealClock clock_;
  const std::unique_ptr<Checkpoint> checkpoint_ = OpenOrDie("tests/golden/model/v3");
};

TEST_F(StepRunnerTest, GreedyTokensAreTheLargestLogitsOfTheModel) {
  const AddedSequence sequence = TestSequence(1, 70, 6);
  const PlanDriver::Output output = Run(sequence);
  EXPECT_EQ(output.finish, FinishReason::kLength);
  ASSERT_THAT(output.tokens, SizeIs(6));

  TestRank rank(*checkpoint_, {}, reference::MakeBackend());
  std::vector<TokenId> tokens = sequence.prompt;
  tokens.insert(tokens.end(), output.tokens.begin(), output.tokens.end());
  const std::vector<BlockId> table = {0, 1};
  const std::vector<float> logits = RunInChunks(rank, tokens, 70, 160, table);
  const auto vocab = static_cast<std::ptrdiff_t>(rank.config().vocab_size);
  for (std::ptrdiff_t i = 0; i < 6; ++i) {
    const auto row = logits.begin() + (69 + i) * vocab;
    EXPECT_EQ(output.tokens[static_cast<size_t>(i)], std::max_element(row, row + vocab) - row) << "token " << i;
  }
}

TEST_F(StepRunnerTest, EndsAtAStopTokenAndReportsIt) {
  AddedSequence sequence = TestSequence(1, 20, 10);
  const std::vector<TokenId> free_run = Run(sequence).tokens;
  const auto third = std::find(free_run.begin(), free_run.end(), free_run[2]);
  sequence.stop_tokens = {127, free_run[2], 1};
  const PlanDriver::Output output = Run(sequence);
  EXPECT_EQ(output.finish, FinishReason::kStop);
  EXPECT_EQ(output.tokens, std::vector<TokenId>(free_run.begin(), third + 1));
}

TEST_F(StepRunnerTest, SamplesNoStopTokenBeforeMinTokens) {
  AddedSequence sequence = TestSequence(1, 20, 10);
  sequence.stop_tokens = {Run(sequence).tokens[0]};
  EXPECT_THAT(Run(sequence).tokens, SizeIs(1));
  sequence.min_tokens = 4;
  const PlanDriver::Output output = Run(sequence);
  ASSERT_GE(output.tokens.size(), 4U);
  for (size_t i = 0; i < 4; ++i) EXPECT_NE(output.tokens[i], sequence.stop_tokens[0]) << i;
}

TEST_F(StepRunnerTest, EndsAtTheContextLength) {
  WorkerGroupOptions options = TestGroupOptions(1);
  options.context_tokens_max = 25;
  const PlanDriver::Output output = Run(TestSequence(1, 20, 100), 64, options);
  EXPECT_EQ(output.finish, FinishReason::kLength);
  EXPECT_THAT(output.tokens, SizeIs(5));
  EXPECT_THAT(Run(TestSequence(1, 24, 100), 64, options).tokens, SizeIs(1)) << "a prompt one short of the context";
}

TEST_F(StepRunnerTest, NeverSamplesPaddingRows) {
  WorkerGroupOptions options = TestGroupOptions(1);
  options.valid_vocab = 10;
  AddedSequence sequence = TestSequence(1, 20, 30);
  sequence.sampling = {.temperature = 5, .seed = 1};
  for (const TokenId token : Run(sequence, 64, options).tokens) EXPECT_LT(token, 10);
}

TEST_F(StepRunnerTest, PromptLogprobsAreTheSameInChunksOfAnySize) {
  AddedSequence sequence = TestSequence(1, 70, 3);
  sequence.sampling.num_prompt_logprobs = 2;
  sequence.sampling.num_logprobs = 5;
  const PlanDriver::Output whole = Run(sequence, 160);
  ASSERT_THAT(whole.prompt_logprobs, SizeIs(69)) << "of each prompt token but the first";
  for (size_t i = 0; i < 69; ++i) {
    EXPECT_EQ(whole.prompt_logprobs[i].token.token, sequence.prompt[i + 1]);
    EXPECT_THAT(whole.prompt_logprobs[i].top, SizeIs(2));
    EXPECT_LE(whole.prompt_logprobs[i].token.logprob, 0);
  }
  ASSERT_THAT(whole.logprobs, SizeIs(3));
  EXPECT_EQ(whole.logprobs[0].token.token, whole.tokens[0]);
  EXPECT_EQ(whole.logprobs[0].top[0].token, whole.tokens[0]) << "greedy takes the likeliest";
  for (const int32_t chunk : {1, 7, 64}) {
    const PlanDriver::Output chunked = Run(sequence, chunk);
    EXPECT_TRUE(SameLogprobs(chunked.prompt_logprobs, whole.prompt_logprobs)) << "chunk " << chunk;
    EXPECT_TRUE(SameLogprobs(chunked.logprobs, whole.logprobs)) << "chunk " << chunk;
    EXPECT_EQ(chunked.tokens, whole.tokens);
  }
  sequence.skip_prompt_logprobs = true;
  EXPECT_THAT(Run(sequence).prompt_logprobs, SizeIs(0));
}

TEST_F(StepRunnerTest, AResumedSequenceGoesOnWithTheTokensItWouldHaveHad) {
  for (const SamplingParams& sampling :
       {SamplingParams{.temperature = 0}, SamplingParams{.temperature = 1, .top_p = 0.9F, .seed = 99},
        SamplingParams{.temperature = 0.8F,
        .repetition_penalty = 1.3F,
        .frequency_penalty = 0.4F,
        .presence_penalty = 0.5F,
        .seed = 5}}) {
    AddedSequence sequence = TestSequence(1, 60, 12);
    sequence.sampling = sampling;
    const std::vector<TokenId> whole = Run(sequence).tokens;
    ASSERT_THAT(whole, SizeIs(12));
    for (const size_t known : {size_t{1}, size_t{7}, size_t{11}}) {
      AddedSequence resumed = sequence;
      resumed.generated.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(known));
      const std::vector<TokenId> rest(whole.begin() + static_cast<std::ptrdiff_t>(known), whole.end());
      EXPECT_EQ(Run(resumed, 64).tokens, rest) << known << " tokens known";
      EXPECT_EQ(Run(resumed, 3).tokens, rest) << known << " tokens known, in chunks";
    }
  }
}

TEST_F(StepRunnerTest, ACachedPrefixIsReadFromItsSharedBlocks) {
  const auto group = MakeTestGroup(*checkpoint_, TestGroupOptions(1), clock_);
  AddedSequence first = TestSequence(1, 70, 4);
  AddedSequence second = first;
  second.sequence = SequenceId{2};
  second.num_cached_tokens = 64;
  const auto run = [&](StepPlan plan) {
    group->Submit({std::move(plan)});
    auto results = group->Receive();
    TESSERA_CHECK_OK(results.status());
    return (*results)[0].sequences[0].tokens[0];
  };
  const TokenId cold = run({.step = 1,
                            .tokens_per_rank = {70},
                            .added = {first},
                            .blocks = {{SequenceId{1}, {4, 5}}},
                            .slices = {{SequenceId{1}, 70}}});
  const TokenId warm = run({.step = 2,
                            .tokens_per_rank = {6},
                            .freed = {SequenceId{1}},
                            .added = {second},
                            .blocks = {{SequenceId{2}, {4, 9}}},
                            .slices = {{SequenceId{2}, 6}}});
  EXPECT_EQ(warm, cold);
}

// Half of the sequences use the broken expert.
TEST_F(StepRunnerTest, ASequenceWithNaNLogitsEndsWithAnErrorAndTheOthersGoOn) {
  const ModelConfig& config = checkpoint_->config();
  ChangedCheckpoint changed(*checkpoint_);
  changed.ChangeMatrix("model.layers.2.mlp.experts.3.down_proj.weight", config.hidden_size,
                       config.moe_intermediate_size, [](std::vector<float>& values) { values[0] = std::nanf(""); });
  const auto run = [&](const Checkpoint& checkpoint) {
    WorkerGroupOptions options = TestGroupOptions(1);
    options.check_finite = false;
    const auto group = MakeTestGroup(checkpoint, options, clock_);
    PlanDriver driver(*group, 64);
    std::vector<PlanDriver::Output> outputs;
    for (int32_t id = 0; id < 12; ++id) driver.Add(0, TestSequence(id, 1, 2, id));
    TESSERA_CHECK_OK(driver.RunToEnd());
    for (int32_t id = 0; id < 12; ++id) outputs.push_back(driver.output(SequenceId{id}));
    return outputs;
  };
  const auto good = run(*checkpoint_);
  const auto bad = run(changed);
  int num_failed = 0;
  for (size_t id = 0; id < good.size(); ++id) {
    if (bad[id].finish == FinishReason::kError) {
      ++num_failed;
      EXPECT_THAT(bad[id].status, StatusIs(absl::StatusCode::kInternal, HasSubstr("not finite")));
    } else {
      EXPECT_EQ(bad[id].tokens, good[id].tokens) << "sequence " << id;
    }
  }
  EXPECT_GT(num_failed, 0);
  EXPECT_LT(num_failed, 12);
}

struct BadPlan {
  std::string name;
  StepPlan plan;
  std::string message;
};

class BadPlanTest : public testing::TestWithParam<BadPlan> {};

// Each plan follows step 1, which added sequence 1 with a prompt of 10 and ran 4 of them in block 0.
TEST_P(BadPlanTest, BreaksTheGroupWithAMessage) {
  const RealClock clock;
  const auto checkpoint = OpenOrDie("tests/golden/model/v3");
  const auto group = MakeTestGroup(*checkpoint, TestGroupOptions(1), clock);
  group->Submit({{.step = 1,
                  .tokens_per_rank = {4},
                  .added = {TestSequence(1, 10, 5)},
                  .blocks = {{SequenceId{1}, {0}}},
                  .slices = {{SequenceId{1}, 4}}}});
  ASSERT_THAT(group->Receive(), IsOk());
  group->Submit({GetParam().plan});
  const auto results = group->Receive();
  ASSERT_FALSE(results.ok());
  EXPECT_THAT(std::string(results.status().message()), HasSubstr(GetParam().message));
}

AddedSequence Changed(const std::function<void(AddedSequence&)>& change) {
  AddedSequence sequence = TestSequence(2, 10, 5);
  change(sequence);
  return sequence;
}

INSTANTIATE_TEST_SUITE_P(
    Plans, BadPlanTest,
    testing::Values(
        BadPlan{"Gap", {.step = 3, .tokens_per_rank = {0}}, "got plan 3, wanted 2"},
        BadPlan{"Repeat", {.step = 1, .tokens_per_rank = {0}}, "got plan 1, wanted 2"},
        BadPlan{"Ranks", {.step = 2, .tokens_per_rank = {0, 0}}, "tokens_per_rank"},
        BadPlan{"TokenCount", {.step = 2, .tokens_per_rank = {3}, .slices = {{SequenceId{1}, 2}}}, "got 2 tokens"},
        BadPlan{
            "TooManyTokens", {.step = 2, .tokens_per_rank = {500}, .slices = {{SequenceId{1}, 500}}}, "at most 160"},
        BadPlan{"SliceTooLong", {.step = 2, .tokens_per_rank = {7}, .slices = {{SequenceId{1}, 7}}}, "the 6 left"},
        BadPlan{"DraftsWithoutModule", {.step = 2, .tokens_per_rank = {0}, .draft_tokens = 1}, "wanted 0 to 0"},
        BadPlan{"SliceOfNothing", {.step = 2, .tokens_per_rank = {0}, .slices = {{SequenceId{1}, 0}}}, "at least 1"},
        BadPlan{"TwoSlices",
                {.step = 2, .tokens_per_rank = {4}, .slices = {{SequenceId{1}, 2}, {SequenceId{1}, 2}}},
                "two slices"},
        BadPlan{"UnknownSlice", {.step = 2, .tokens_per_rank = {1}, .slices = {{SequenceId{9}, 1}}}, "sequence 9"},
        BadPlan{"UnknownFreed", {.step = 2, .tokens_per_rank = {0}, .freed = {SequenceId{9}}}, "sequence 9"},
        BadPlan{"UnknownBlocks", {.step = 2, .tokens_per_rank = {0}, .blocks = {{SequenceId{9}, {1}}}}, "sequence 9"},
        BadPlan{"BlockOutOfRange", {.step = 2, .tokens_per_rank = {0}, .blocks = {{SequenceId{1}, {40}}}}, "got 40"},
        BadPlan{"AddedTwice", {.step = 2, .tokens_per_rank = {0}, .added = {TestSequence(1, 3, 3)}}, "added twice"},
        BadPlan{"NoBlocks",
                {.step = 2, .tokens_per_rank = {3}, .added = {TestSequence(2, 3, 3)}, .slices = {{SequenceId{2}, 3}}},
                "within the 0 of its blocks"},
        BadPlan{"EmptyPrompt",
                {.step = 2, .tokens_per_rank = {0}, .added = {Changed([](auto& s) { s.prompt.clear(); })}},
                "prompt"},
        BadPlan{"UnknownToken",
                {.step = 2, .tokens_per_rank = {0}, .added = {Changed([](auto& s) { s.prompt[3] = 128; })}},
                "0 to 127"},
        BadPlan{"TooLongForTheContext",
                {.step = 2, .tokens_per_rank = {0}, .added = {TestSequence(2, 400, 5)}},
                "context of 400"},
        BadPlan{"HalfABlockCached",
                {.step = 2, .tokens_per_rank = {0}, .added = {Changed([](auto& s) { s.num_cached_tokens = 5; })}},
                "whole blocks"},
        BadPlan{"AlreadyDone",
                {.step = 2, .tokens_per_rank = {0}, .added = {Changed([](auto& s) { s.generated.assign(5, 3); })}},
                "max_tokens"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace tessera
