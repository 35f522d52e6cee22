#include "worker/worker_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/check.h"
#include "base/status_matchers.h"
#include "kernels/reference/reference_backend.h"
#include "worker/model/testing/test_rank.h"
#include "worker/testing/failing_backend.h"
#include "worker/testing/plan_driver.h"
#include "worker/testing/test_group.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class WorkerGroupTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<InProcessWorkerGroup>> Create(const WorkerGroupOptions& options) const {
    return InProcessWorkerGroup::Create(
        *checkpoint_, options, [](int32_t) { return reference::MakeBackend(); }, clock_);
  }

  const RealClock clock_;
  const std::unique_ptr<Checkpoint> checkpoint_ = OpenOrDie("tests/golden/model/v3");
};

// Twelve sequences of all kinds, greedy and seeded, on ranks in turn.
std::map<int64_t, std::vector<TokenId>> RunMany(WorkerPort& port, int32_t chunk, std::vector<float>& logprobs) {
  PlanDriver driver(port, chunk);
  for (int32_t id = 0; id < 12; ++id) {
    AddedSequence sequence = TestSequence(id, 1 + 13 * id % 67, 2 + id % 9, id);
    sequence.sampling.num_logprobs = 0;
    if (id % 3 == 1) sequence.sampling.temperature = 0.9F;
    sequence.sampling.seed = static_cast<uint64_t>(id);
    driver.Add(id % port.limits().num_ranks, std::move(sequence));
  }
  TESSERA_CHECK_OK(driver.RunToEnd());
  std::map<int64_t, std::vector<TokenId>> tokens;
  for (int32_t id = 0; id < 12; ++id) {
    const PlanDriver::Output& output = driver.output(SequenceId{id});
    tokens[id] = output.tokens;
    for (const PositionLogprobs& logprob : output.logprobs) logprobs.push_back(logprob.token.logprob);
  }
  return tokens;
}

TEST_F(WorkerGroupTest, TokensAndLogprobsAreTheSameOnOneTwoFourAndEightRanks) {
  std::vector<float> wanted_logprobs;
  const auto wanted = RunMany(*MakeTestGroup(*checkpoint_, TestGroupOptions(1), clock_), 160, wanted_logprobs);
  for (const int32_t num_ranks : {2, 4, 8}) {
    std::vector<float> logprobs;
    const auto group = MakeTestGroup(*checkpoint_, TestGroupOptions(num_ranks), clock_);
    EXPECT_EQ(RunMany(*group, 7 + num_ranks, logprobs), wanted) << num_ranks << " ranks";
    EXPECT_EQ(logprobs, wanted_logprobs) << num_ranks << " ranks";
  }
}

// A rank without work takes part in every step.
TEST_F(WorkerGroupTest, OneSequenceAtATimeOnAnyRankOfFourIsServed) {
  std::vector<std::vector<TokenId>> tokens;
  for (const int32_t busy : {3, 0, 2}) {
    const auto group = MakeTestGroup(*checkpoint_, TestGroupOptions(4), clock_);
    PlanDriver driver(*group, 64);
    driver.Add(busy, TestSequence(1, 70, 5));
    ASSERT_THAT(driver.RunToEnd(), IsOk());
    tokens.push_back(driver.output(SequenceId{1}).tokens);
  }
  EXPECT_EQ(tokens[1], tokens[0]);
  EXPECT_EQ(tokens[2], tokens[0]);
}

TEST_F(WorkerGroupTest, AStepWithoutAnyTokenIsAStep) {
  const auto group = MakeTestGroup(*checkpoint_, TestGroupOptions(2), clock_);
  for (int64_t step = 1; step <= 3; ++step) {
    group->Submit({{.step = step, .tokens_per_rank = {0, 0}}, {.step = step, .tokens_per_rank = {0, 0}}});
    const auto results = group->Receive();
    ASSERT_THAT(results, IsOk());
    EXPECT_EQ((*results)[1].step, step);
  }
}

TEST_F(WorkerGroupTest, ShutsDownWhileIdleAndWhileStepsAreUnderWay) {
  MakeTestGroup(*checkpoint_, TestGroupOptions(4), clock_);
  const auto group = MakeTestGroup(*checkpoint_, TestGroupOptions(2), clock_);
  for (int64_t step = 1; step <= 2; ++step) {
    group->Submit({{.step = step, .tokens_per_rank = {0, 0}}, {.step = step, .tokens_per_rank = {0, 0}}});
  }
}

// The others stop at once, with the reason.
TEST_F(WorkerGroupTest, ARankWhoseDeviceFailsBreaksTheGroupAndIsNamed) {
  auto group = InProcessWorkerGroup::Create(
      *checkpoint_, TestGroupOptions(4),
      [](int32_t rank) -> absl::StatusOr<std::unique_ptr<Backend>> {
        // The warm-up makes 26 products; it fails in a later step.
        if (rank == 2) return MakeFailingBackend(reference::MakeBackend(), /*num_gemms=*/60);
        return reference::MakeBackend();
      },
      clock_);
  ASSERT_THAT(group, IsOk());
  PlanDriver driver(**group, 64);
  for (int32_t rank = 0; rank < 4; ++rank) driver.Add(rank, TestSequence(rank, 20, 50, rank));
  EXPECT_THAT(driver.RunToEnd(),
              StatusIs(absl::StatusCode::kInternal, AllOf(HasSubstr("rank 2, step"), HasSubstr("device lost"))));
  (*group)->Submit(std::vector<StepPlan>(4));
  EXPECT_THAT((*group)->Receive(), StatusIs(absl::StatusCode::kInternal, HasSubstr("rank 2"))) << "broken for good";
}

TEST_F(WorkerGroupTest, AFailureDuringWarmUpIsAnErrorOfCreate) {
  const auto group = InProcessWorkerGroup::Create(
      *checkpoint_, TestGroupOptions(2),
      [](int32_t rank) -> absl::StatusOr<std::unique_ptr<Backend>> {
        if (rank == 1) return MakeFailingBackend(reference::MakeBackend(), /*num_gemms=*/3);
        return reference::MakeBackend();
      },
      clock_);
  EXPECT_THAT(group, StatusIs(absl::StatusCode::kInternal, HasSubstr("rank 1, step 0")));
}

// A mismatch stops the group with a line that names rank and step.
TEST_F(WorkerGroupTest, ABadPlanOnOneRankBreaksTheGroupAndNamesRankAndStep) {
  const auto group = MakeTestGroup(*checkpoint_, TestGroupOptions(2), clock_);
  group->Submit({{.step = 1, .tokens_per_rank = {0, 0}}, {.step = 2, .tokens_per_rank = {0, 0}}});
  EXPECT_THAT(group->Receive(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                         AllOf(HasSubstr("rank 1, step 2"), HasSubstr("wanted 1"))));
}

TEST_F(WorkerGroupTest, RefusesRankCountsThatDoNotDivideTheExperts) {
  EXPECT_THAT(Create(TestGroupOptions(3)),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("got 3"), HasSubstr("1, 2, 4, 8, 16"))));
  EXPECT_THAT(Create(TestGroupOptions(0)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("got 0")));
}

TEST_F(WorkerGroupTest, RefusesACacheThatHoldsNoBlock) {
  WorkerGroupOptions options = TestGroupOptions(1);
  options.num_blocks = 0;
  options.cache_bytes_max = 1000;
  EXPECT_THAT(Create(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("got 1000 bytes")));
  options.cache_bytes_max = 3 * 64 * (24 + 8) * 4 * 5;  // layers, tokens, values, bytes, blocks
  const auto group = Create(options);
  ASSERT_THAT(group, IsOk());
  EXPECT_EQ((*group)->limits().num_blocks, 5);
  EXPECT_GT((*group)->memory().weights_bytes, 0);
}

TEST_F(WorkerGroupTest, RefusesAContextBeyondTheModels) {
  WorkerGroupOptions options = TestGroupOptions(1);
  options.context_tokens_max = 200'000;
  EXPECT_THAT(Create(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("163840")));
  options.context_tokens_max = 0;
  EXPECT_EQ((*Create(options))->limits().context_tokens_max, 163840);
}

TEST_F(WorkerGroupTest, DraftsNeedACheckpointWithAnMtpModuleAndHaveALimit) {
  WorkerGroupOptions options = TestGroupOptions(2);
  options.draft_tokens = 3;
  const auto group = Create(options);
  ASSERT_THAT(group, IsOk());
  EXPECT_EQ((*group)->limits().draft_tokens_max, 3);
  EXPECT_GT((*group)->memory().cache_bytes_per_block, (*Create(TestGroupOptions(2)))->memory().cache_bytes_per_block)
      << "the module has a layer of its own";
  const auto no_mtp = OpenOrDie("tests/golden/model/v2");
  EXPECT_THAT(InProcessWorkerGroup::Create(
                  *no_mtp, options, [](int32_t) { return reference::MakeBackend(); }, clock_),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("draft_tokens"), HasSubstr("MTP"))));
  options.draft_tokens = kDraftTokensMax + 1;
  EXPECT_THAT(Create(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("wanted 0 to 4")));
}

TEST_F(WorkerGroupTest, ReportsLoadingOverAllRanks) {
  std::vector<int64_t> done;
  int64_t total = 0;
  const auto group = InProcessWorkerGroup::Create(
      *checkpoint_, TestGroupOptions(2), [](int32_t) { return reference::MakeBackend(); }, clock_,
      [&](int64_t num_done, int64_t num_total) {
        done.push_back(num_done);
        total = num_total;
      });
  ASSERT_THAT(group, IsOk());
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), total);
  // Per rank: 2 tables; 5 of attention in 3 layers; a dense network; 2 layers of 8 experts and the shared one.
  EXPECT_EQ(total, 2 * (2 + 3 * 5 + 3 + 2 * (3 * 8 + 3)));
}

}  // namespace
}  // namespace tessera
