#include "scheduler/step_results.h"

#include <string>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

auto IsInternal(const std::string& part) { return StatusIs(absl::StatusCode::kInternal, HasSubstr(part)); }

TEST(StepResultsTest, NamesTheRankWhoseResultsAreNotThoseOfTheStep) {
  EXPECT_THAT(CheckResults({{.step = 7}, {.step = 7}}, 7, 2), IsOk());
  EXPECT_THAT(CheckResults({{.step = 7}}, 7, 2), IsInternal("step 7: got results of 1 ranks, wanted 2"));
  EXPECT_THAT(CheckResults({{.step = 7}, {.step = 6}}, 7, 2), IsInternal("rank 1: got the result of step 6"));
}

TEST(StepResultsTest, RefusesDraftCountsThatCannotBe) {
  StepResult result{.step = 7, .drafts = {{.num_drafted = 3, .num_accepted = 3}}};
  EXPECT_THAT(CheckResults({result}, 7, 1), IsOk());
  result.drafts[0].num_accepted = 4;
  EXPECT_THAT(CheckResults({result}, 7, 1), IsInternal("accepted 4 of 3 drafts"));
  result.drafts.assign(5, {});
  EXPECT_THAT(CheckResults({result}, 7, 1), IsInternal("drafts of 5 positions, wanted at most 4"));
}

// A request that was planned as if the slices under way brought one token each.
OpenRequest Running() {
  OpenRequest request;
  request.rank = 3;
  request.request = {.id = {1}, .prompt = {1, 2, 3}, .max_tokens = 10};
  request.num_known = 3;
  request.num_positions = 12;
  request.num_planned = 5;
  request.drafts_of_step(8) = 2;
  request.drafts_of_step(9) = 1;
  return request;
}

TEST(StepResultsTest, CorrectsHowFarTheSequenceCameByWhatWasAccepted) {
  OpenRequest request = Running();
  EXPECT_EQ(request.num_planned_max(), 8);
  SequenceResult result{.tokens = {7, 8}};
  const absl::StatusOr<RequestTokens> brought = TakeResult(request, result, 8);
  ASSERT_THAT(brought, IsOk());
  EXPECT_THAT(brought->tokens, ElementsAre(7, 8));
  EXPECT_THAT(request.request.generated, ElementsAre(7, 8));
  EXPECT_EQ(request.num_planned, 6);
  EXPECT_EQ(request.num_planned_max(), 7) << "one draft is still under way";
}

TEST(StepResultsTest, NeverPlansBeyondTheLastPosition) {
  OpenRequest request = Running();
  request.num_planned = 11;
  EXPECT_EQ(request.num_planned_max(), 12);
}

TEST(StepResultsTest, RefusesMoreTokensThanTheSliceCouldBring) {
  OpenRequest request = Running();
  SequenceResult result{.tokens = {7, 8, 9}};
  EXPECT_THAT(TakeResult(request, result, 9).status(), IsInternal("got 3 tokens in step 9, wanted at most 2"));
  EXPECT_THAT(TakeResult(request, result, 8), IsOk());
}

TEST(StepResultsTest, RefusesAResultThatHasNotEndedAtTheLimitOrDisagreesWithItself) {
  OpenRequest request = Running();
  request.request.max_tokens = 2;
  SequenceResult result{.tokens = {7, 8}};
  EXPECT_THAT(TakeResult(request, result, 8).status(), IsInternal("2 tokens of at most 2 and has not ended"));
  SequenceResult failed{.finish = FinishReason::kError};
  EXPECT_THAT(TakeResult(request, failed, 8).status(), IsInternal("disagree"));
}

}  // namespace
}  // namespace tessera
