#include "scheduler/contract/wire/step_plan_proto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "base/status_matchers.h"

namespace tessera::wire {
namespace {

using ::testing::HasSubstr;

constexpr WorkerLimits kLimits = {.num_ranks = 2,
                                  .num_blocks = 16,
                                  .block_tokens = 4,
                                  .step_tokens_max = 32,
                                  .sequences_max = 8,
                                  .context_tokens_max = 64,
                                  .vocab_size = 100,
                                  .draft_tokens_max = 2};

StepPlan FullPlan() {
  StepPlan plan{.step = 7, .tokens_per_rank = {3, 0}, .draft_tokens = 1};
  plan.freed = {{4}, {5}};
  AddedSequence added{.sequence = {6}, .prompt = {1, 2, 99}, .generated = {8}, .num_cached_tokens = 2};
  added.sampling = {.temperature = 0.5F,
                    .top_k = 3,
                    .top_p = 0.25F,
                    .min_p = 0.125F,
                    .repetition_penalty = 1.5F,
                    .frequency_penalty = -1,
                    .presence_penalty = 2,
                    .seed = ~uint64_t{0},
                    .logit_bias = {{3, -100}, {4, 1.5F}},
                    .num_logprobs = 20,
                    .num_prompt_logprobs = 0};
  added.max_tokens = 9;
  added.min_tokens = 2;
  added.stop_tokens = {0, 1};
  added.skip_prompt_logprobs = true;
  plan.added = {added};
  plan.blocks = {{.sequence = {6}, .blocks = {15, 0}}};
  plan.slices = {{.sequence = {3}, .num_tokens = 1}, {.sequence = {6}, .num_tokens = 2}};
  return plan;
}

pb::StepPlan FullMessage() {
  pb::StepPlan message;
  ToProto(FullPlan(), message);
  return message;
}

TEST(StepPlanProtoTest, APlanIsTheSameAfterItsJourney) {
  const absl::StatusOr<StepPlan> got = FromProto(FullMessage(), kLimits);
  ASSERT_THAT(got, IsOk());
  const StepPlan wanted = FullPlan();
  EXPECT_EQ(got->step, wanted.step);
  EXPECT_EQ(got->tokens_per_rank, wanted.tokens_per_rank);
  EXPECT_EQ(got->draft_tokens, wanted.draft_tokens);
  EXPECT_EQ(got->freed, wanted.freed);
  ASSERT_EQ(got->added.size(), 1U);
  const AddedSequence& added = got->added[0];
  EXPECT_EQ(added.sequence, SequenceId{6});
  EXPECT_EQ(added.prompt, wanted.added[0].prompt);
  EXPECT_EQ(added.generated, wanted.added[0].generated);
  EXPECT_EQ(added.num_cached_tokens, 2);
  EXPECT_EQ(added.max_tokens, 9);
  EXPECT_EQ(added.min_tokens, 2);
  EXPECT_EQ(added.stop_tokens, wanted.added[0].stop_tokens);
  EXPECT_TRUE(added.skip_prompt_logprobs);
  ASSERT_EQ(got->blocks.size(), 1U);
  EXPECT_EQ(got->blocks[0].sequence, SequenceId{6});
  EXPECT_EQ(got->blocks[0].blocks, wanted.blocks[0].blocks);
  ASSERT_EQ(got->slices.size(), 2U);
  EXPECT_EQ(got->slices[1].sequence, SequenceId{6});
  EXPECT_EQ(got->slices[1].num_tokens, 2);
}

TEST(StepPlanProtoTest, SamplingIsTheSameAfterItsJourney) {
  const absl::StatusOr<StepPlan> got = FromProto(FullMessage(), kLimits);
  ASSERT_THAT(got, IsOk());
  const SamplingParams& sampling = got->added[0].sampling;
  const SamplingParams wanted = FullPlan().added[0].sampling;
  EXPECT_EQ(sampling.temperature, wanted.temperature);
  EXPECT_EQ(sampling.top_k, wanted.top_k);
  EXPECT_EQ(sampling.top_p, wanted.top_p);
  EXPECT_EQ(sampling.min_p, wanted.min_p);
  EXPECT_EQ(sampling.repetition_penalty, wanted.repetition_penalty);
  EXPECT_EQ(sampling.frequency_penalty, wanted.frequency_penalty);
  EXPECT_EQ(sampling.presence_penalty, wanted.presence_penalty);
  EXPECT_EQ(sampling.seed, wanted.seed);
  EXPECT_EQ(sampling.logit_bias, wanted.logit_bias);
  EXPECT_EQ(sampling.num_logprobs, wanted.num_logprobs);
  EXPECT_EQ(sampling.num_prompt_logprobs, wanted.num_prompt_logprobs);
}

struct BadPlan {
  std::string name;
  std::function<void(pb::StepPlan&)> spoil;
  std::string message;
};

class BadStepPlanTest : public testing::TestWithParam<BadPlan> {};

TEST_P(BadStepPlanTest, IsRefusedWithFieldGotAndWanted) {
  pb::StepPlan message = FullMessage();
  GetParam().spoil(message);
  EXPECT_THAT(FromProto(message, kLimits), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadStepPlanTest,
    testing::Values(
        BadPlan{"Step", [](auto& plan) { plan.set_step(0); }, "step: got 0, wanted 1 to"},
        BadPlan{"TooFewRanks", [](auto& plan) { plan.mutable_tokens_per_rank()->RemoveLast(); },
                "tokens_per_rank: number: got 1, wanted 2 to 2"},
        BadPlan{"TooManyTokens", [](auto& plan) { plan.set_tokens_per_rank(1, 33); },
                "tokens_per_rank[1]: got 33, wanted 0 to 32"},
        BadPlan{"NegativeTokens", [](auto& plan) { plan.set_tokens_per_rank(0, -1); }, "tokens_per_rank[0]: got -1"},
        BadPlan{"Drafts", [](auto& plan) { plan.set_draft_tokens(3); }, "draft_tokens: got 3, wanted 0 to 2"},
        BadPlan{"Freed", [](auto& plan) { plan.set_freed(1, -2); }, "freed[1]: got -2, wanted 0 to"},
        BadPlan{"TooManyFreed", [](auto& plan) { plan.mutable_freed()->Resize(9, 1); },
                "freed: number: got 9, wanted 0 to 8"},
        BadPlan{"Sequence", [](auto& plan) { plan.mutable_added(0)->set_sequence(-1); }, "added[0].sequence: got -1"},
        BadPlan{"NoPrompt", [](auto& plan) { plan.mutable_added(0)->clear_prompt(); },
                "added[0].prompt: number: got 0, wanted 1 to 63"},
        BadPlan{"LongPrompt", [](auto& plan) { plan.mutable_added(0)->mutable_prompt()->Resize(64, 1); },
                "added[0].prompt: number: got 64"},
        BadPlan{"LongGenerated", [](auto& plan) { plan.mutable_added(0)->mutable_generated()->Resize(61, 1); },
                "added[0].generated: number: got 61, wanted 0 to 60"},
        BadPlan{"UnknownToken", [](auto& plan) { plan.mutable_added(0)->set_prompt(2, 100); },
                "added[0].prompt[2]: got 100, wanted 0 to 99"},
        BadPlan{"Cached", [](auto& plan) { plan.mutable_added(0)->set_num_cached_tokens(4); },
                "added[0].num_cached_tokens: got 4, wanted 0 to 3"},
        BadPlan{"MaxTokens", [](auto& plan) { plan.mutable_added(0)->set_max_tokens(1); },
                "added[0].max_tokens: got 1, wanted 2 to"},
        BadPlan{"MinTokens", [](auto& plan) { plan.mutable_added(0)->set_min_tokens(10); },
                "added[0].min_tokens: got 10, wanted 0 to 9"},
        BadPlan{"StopTokens", [](auto& plan) { plan.mutable_added(0)->mutable_stop_tokens()->Resize(1025, 1); },
                "added[0].stop_tokens: number: got 1025"},
        BadPlan{"NanTemperature",
                [](auto& plan) {
                  plan.mutable_added(0)->mutable_sampling()->set_temperature(std::numeric_limits<float>::quiet_NaN());
                },
                "added[0].sampling.temperature: got nan, wanted 0 to 100"},
        BadPlan{"BiasWithoutValue",
                [](auto& plan) { plan.mutable_added(0)->mutable_sampling()->clear_logit_bias_values(); },
                "added[0].sampling.logit_bias_values: got 0, wanted one for each of 2 tokens"},
        BadPlan{"NoSampling", [](auto& plan) { plan.mutable_added(0)->clear_sampling(); },
                "added[0].sampling.top_p: got 0"},
        BadPlan{"Block", [](auto& plan) { plan.mutable_blocks(0)->set_blocks(1, 16); },
                "blocks[0].blocks[1]: got 16, wanted 0 to 15"},
        BadPlan{"NoBlock", [](auto& plan) { plan.mutable_blocks(0)->clear_blocks(); },
                "blocks[0].blocks: number: got 0, wanted 1 to 16"},
        BadPlan{"SliceWithoutTokens", [](auto& plan) { plan.mutable_slice_tokens()->RemoveLast(); },
                "slice_tokens: number: got 1, wanted 2 to 2"},
        BadPlan{"EmptySlice", [](auto& plan) { plan.set_slice_tokens(0, 0); },
                "slice_tokens[0]: got 0, wanted 1 to 32"},
        BadPlan{"SliceOfNobody", [](auto& plan) { plan.set_slice_sequences(0, -1); }, "slice_sequences[0]: got -1"}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace tessera::wire
