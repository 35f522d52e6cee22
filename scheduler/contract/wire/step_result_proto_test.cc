#include "scheduler/contract/wire/step_result_proto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "base/status_matchers.h"
#include "scheduler/contract/wire/status_proto.h"

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

StepResult FullResult() {
  StepResult result{.step = 3, .duration = absl::Milliseconds(12)};
  SequenceResult going{.sequence = {1}, .tokens = {7, 8}};
  going.logprobs = {{.token = {7, -0.5F}, .top = {{9, -0.25F}, {7, -0.5F}}}, {.token = {8, kLogprobFloor}}};
  going.prompt_logprobs = {{.token = {5, -1}}};
  SequenceResult failed{.sequence = {2}, .finish = FinishReason::kError, .status = absl::InternalError("not finite")};
  SequenceResult ended{.sequence = {4}, .tokens = {99}, .finish = FinishReason::kStop};
  result.sequences = {going, failed, ended};
  result.drafts = {{.num_drafted = 5, .num_accepted = 5}, {.num_drafted = 4, .num_accepted = 0}};
  return result;
}

pb::StepResult FullMessage() {
  pb::StepResult message;
  ToProto(FullResult(), message);
  return message;
}

TEST(StepResultProtoTest, AResultIsTheSameAfterItsJourney) {
  const absl::StatusOr<StepResult> got = FromProto(FullMessage(), kLimits);
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->step, 3);
  EXPECT_EQ(got->duration, absl::Milliseconds(12));
  ASSERT_EQ(got->sequences.size(), 3U);
  const SequenceResult& going = got->sequences[0];
  EXPECT_EQ(going.sequence, SequenceId{1});
  EXPECT_EQ(going.tokens, (std::vector<TokenId>{7, 8}));
  ASSERT_EQ(going.logprobs.size(), 2U);
  EXPECT_EQ(going.logprobs[0].token.token, 7);
  EXPECT_EQ(going.logprobs[0].token.logprob, -0.5F);
  ASSERT_EQ(going.logprobs[0].top.size(), 2U);
  EXPECT_EQ(going.logprobs[0].top[0].token, 9);
  EXPECT_EQ(going.logprobs[1].token.logprob, kLogprobFloor);
  ASSERT_EQ(going.prompt_logprobs.size(), 1U);
  EXPECT_FALSE(going.finish.has_value());
  EXPECT_EQ(got->sequences[1].finish, FinishReason::kError);
  EXPECT_THAT(got->sequences[1].status, StatusIs(absl::StatusCode::kInternal, testing::Eq("not finite")));
  EXPECT_EQ(got->sequences[2].finish, FinishReason::kStop);
  EXPECT_THAT(got->sequences[2].status, IsOk());
  ASSERT_EQ(got->drafts.size(), 2U);
  EXPECT_EQ(got->drafts[1].num_drafted, 4);
  EXPECT_EQ(got->drafts[0].num_accepted, 5);
}

struct BadResult {
  std::string name;
  std::function<void(pb::StepResult&)> spoil;
  std::string message;
};

class BadStepResultTest : public testing::TestWithParam<BadResult> {};

TEST_P(BadStepResultTest, IsRefusedWithFieldGotAndWanted) {
  pb::StepResult message = FullMessage();
  GetParam().spoil(message);
  EXPECT_THAT(FromProto(message, kLimits), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

void SetLogprob(pb::StepResult& result, float value) {
  result.mutable_sequences(0)->mutable_logprobs(0)->mutable_token()->set_logprob(value);
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadStepResultTest,
    testing::Values(
        BadResult{"Step", [](auto& result) { result.set_step(-1); }, "step: got -1, wanted 1 to"},
        BadResult{"Duration", [](auto& result) { result.set_duration_ns(-1); }, "duration_ns: got -1"},
        BadResult{"TooManySequences",
                  [](auto& result) {
                    while (result.sequences_size() < 9) result.add_sequences();
                  },
                  "sequences: number: got 9, wanted 0 to 8"},
        BadResult{"Sequence", [](auto& result) { result.mutable_sequences(1)->set_sequence(-5); },
                  "sequences[1].sequence: got -5"},
        BadResult{"TooManyTokens", [](auto& result) { result.mutable_sequences(2)->mutable_tokens()->Resize(4, 1); },
                  "sequences[2].tokens: number: got 4, wanted 0 to 3"},
        BadResult{"UnknownToken", [](auto& result) { result.mutable_sequences(2)->set_tokens(0, 100); },
                  "sequences[2].tokens[0]: got 100, wanted 0 to 99"},
        BadResult{"LogprobsOfOtherTokens", [](auto& result) { result.mutable_sequences(0)->add_logprobs(); },
                  "sequences[0].logprobs: number: got 3, wanted 2 to 2"},
        BadResult{"NanLogprob", [](auto& result) { SetLogprob(result, std::numeric_limits<float>::quiet_NaN()); },
                  "sequences[0].logprobs[0].logprob: got nan"},
        BadResult{"InfiniteLogprob", [](auto& result) { SetLogprob(result, -std::numeric_limits<float>::infinity()); },
                  "sequences[0].logprobs[0].logprob: got -inf"},
        BadResult{"TooManyTop",
                  [](auto& result) {
                    auto& logprobs = *result.mutable_sequences(0)->mutable_logprobs(0);
                    while (logprobs.top_size() < 21) logprobs.add_top();
                  },
                  "sequences[0].logprobs[0].top: number: got 21, wanted 0 to 20"},
        BadResult{"UnknownFinish",
                  [](auto& result) { result.mutable_sequences(2)->set_finish(static_cast<pb::FinishReason>(77)); },
                  "sequences[2].finish: got 77, wanted 0 to 5"},
        BadResult{"FinishOfTheScheduler",
                  [](auto& result) { result.mutable_sequences(2)->set_finish(pb::FINISH_REASON_CANCELLED); },
                  "sequences[2].finish: got 'cancelled'"},
        BadResult{"ErrorWithoutStatus", [](auto& result) { result.mutable_sequences(1)->clear_status(); },
                  "sequences[1].status: got 'OK'"},
        BadResult{"StatusWithoutError", [](auto& result) { result.mutable_sequences(1)->clear_finish(); },
                  "sequences[1].status: got 'INTERNAL: not finite'"},
        BadResult{"TooManyDrafts", [](auto& result) { result.add_drafts(); }, "drafts: number: got 3, wanted 0 to 2"},
        BadResult{"MoreAcceptedThanDrafted", [](auto& result) { result.mutable_drafts(1)->set_num_accepted(5); },
                  "drafts[1].num_accepted: got 5, wanted 0 to 4"}),
    [](const auto& c) { return c.param.name; });

TEST(StatusProtoTest, AForeignCodeIsUnknownAndControlCharactersAreReplaced) {
  pb::Status message;
  message.set_code(99);
  message.set_message("two\nlines");
  EXPECT_THAT(FromProto(message), StatusIs(absl::StatusCode::kUnknown, testing::Eq("two?lines")));
}

}  // namespace
}  // namespace tessera::wire
