// Preempted requests go on as if nothing had happened, and each is preempted a bounded number of times.

#include <map>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/engine_for_test.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

FakeWorkerOptions Blocks(int32_t num_blocks) {
  FakeWorkerOptions options;
  options.limits.num_blocks = num_blocks;
  return options;
}

// How often a sequence with each prompt was added to a worker.
std::map<std::vector<TokenId>, int> NumRuns(const FakeWorker& worker) {
  std::map<std::vector<TokenId>, int> num_runs;
  for (const auto& step : worker.plans()) {
    for (const StepPlan& plan : step) {
      for (const AddedSequence& added : plan.added) ++num_runs[added.prompt];
    }
  }
  return num_runs;
}

TEST(PreemptionTest, KeepsEveryTokenOfSixteenRequestsInTwelveBlocks) {
  FakeWorkerOptions options = Blocks(12);
  options.limits.block_tokens = 64;
  options.limits.context_tokens_max = 4096;
  EngineForTest engine(options);
  std::vector<Request> requests;
  for (int64_t id = 0; id < 16; ++id) {
    Request request = RequestOf(id, 10, 200);
    request.priority = static_cast<int32_t>(id % 3);
    request.sampling.seed = static_cast<uint64_t>(id);
    request.sampling.num_logprobs = 0;
    request.sampling.num_prompt_logprobs = 0;
    requests.push_back(request);
    ASSERT_THAT(engine.loop.Submit(request), IsOk());
  }
  engine.RunUntilIdle();
  EXPECT_GT(engine.loop.Status().num_preemptions, 0) << "the test needs pressure";
  for (const Request& request : requests) {
    const RequestTokens got = engine.sink.Of(request.id.value);
    EXPECT_EQ(got.tokens, engine.worker.model().Answer(request));
    ASSERT_THAT(got.logprobs, SizeIs(200));
    for (size_t i = 0; i < 200; ++i) EXPECT_EQ(got.logprobs[i].token.token, got.tokens[i]);
    EXPECT_THAT(got.prompt_logprobs, SizeIs(9)) << "once, however often the prompt was run";
  }
  for (const auto& [prompt, num_runs] : NumRuns(engine.worker)) EXPECT_LE(num_runs, 1 + 3);
  EXPECT_EQ(engine.loop.Status().num_prompt_tokens, 160) << "recomputed tokens are not counted again";
  EXPECT_EQ(engine.loop.Status().num_generated_tokens, 16 * 200);
  EXPECT_TRUE(engine.HoldsNothing());
}

// Three sequences of two blocks each take the pool of six; the first that needs a third block causes a preemption.
struct Pressed {
  explicit Pressed(const std::vector<int32_t>& priorities) : engine(Blocks(6)) {
    for (size_t i = 0; i < priorities.size(); ++i) {
      Request request = RequestOf(static_cast<int64_t>(i), 3, 9);
      request.priority = priorities[i];
      TESSERA_CHECK_OK(engine.loop.Submit(request));
      engine.clock.Advance(absl::Seconds(1));
    }
    engine.RunUntilIdle();
    const std::map<std::vector<TokenId>, int> by_prompt = NumRuns(engine.worker);
    for (size_t i = 0; i < priorities.size(); ++i) {
      num_runs.push_back(by_prompt.at(RequestOf(static_cast<int64_t>(i), 3, 9).prompt));
    }
  }
  EngineForTest engine;
  std::vector<int> num_runs;
};

TEST(PreemptionTest, TakesTheYoungestOfEqualPriority) {
  EXPECT_THAT(Pressed({0, 0, 0}).num_runs, ElementsAre(1, 1, 2));
}

TEST(PreemptionTest, TakesTheLowestPriorityBeforeTheYoungest) {
  EXPECT_THAT(Pressed({1, 0, 0}).num_runs, ElementsAre(2, 1, 1));
}

TEST(PreemptionTest, IncludesTheTokensOfTheStepUnderWayWhenItResumes) {
  Pressed pressed({0, 0, 0});
  const Request preempted = RequestOf(2, 3, 9);
  const std::vector<TokenId> answer = pressed.engine.worker.model().Answer(preempted);
  const AddedSequence* resumed = nullptr;
  for (const auto& step : pressed.engine.worker.plans()) {
    for (const AddedSequence& added : step[0].added) {
      if (!added.generated.empty()) resumed = &added;
    }
  }
  ASSERT_NE(resumed, nullptr);
  EXPECT_EQ(resumed->prompt, preempted.prompt) << "the boundary between prompt and answer does not move";
  EXPECT_EQ(resumed->max_tokens, 9);
  // Latents of 8 positions filled its two blocks when the third was refused: 3 of the prompt, 5 of generated tokens;
  // the sixth was sampled by the step that ran when it was preempted.
  EXPECT_EQ(resumed->generated, std::vector<TokenId>(answer.begin(), answer.begin() + 6));
  EXPECT_EQ(pressed.engine.sink.Tokens(2), answer);
}

TEST(PreemptionTest, EndsARequestThatStopsInTheStepUnderWayWithoutResumingIt) {
  const Request preempted = RequestOf(2, 3, 9);
  FakeWorkerOptions options = Blocks(6);
  options.model.script[preempted.prompt] = {50, 51, 52, 53, 54};  // then its stop token, the sixth
  EngineForTest engine(options);
  for (int64_t id = 0; id < 3; ++id) {
    Request request = RequestOf(id, 3, 9);
    request.stop_tokens = {7};
    ASSERT_THAT(engine.loop.Submit(request), IsOk());
    engine.clock.Advance(absl::Seconds(1));
  }
  engine.RunUntilIdle();
  EXPECT_EQ(engine.loop.Status().num_preemptions, 1);
  EXPECT_THAT(engine.sink.Tokens(2), ElementsAre(50, 51, 52, 53, 54, 7));
  EXPECT_EQ(engine.sink.Finish(2), FinishReason::kStop);
  EXPECT_EQ(NumRuns(engine.worker).at(preempted.prompt), 1);
  EXPECT_TRUE(engine.HoldsNothing());
}

TEST(PreemptionTest, CancelsAPreemptedRequestBeforeAndAfterItsLastResults) {
  for (const int num_steps_later : {0, 1, 2}) {
    EngineForTest engine(Blocks(6));
    for (int64_t id = 0; id < 3; ++id) {
      ASSERT_THAT(engine.loop.Submit(RequestOf(id, 3, 9)), IsOk());
      engine.clock.Advance(absl::Seconds(1));
    }
    while (engine.loop.Status().num_preemptions == 0) ASSERT_TRUE(engine.loop.RunOneStep());
    for (int i = 0; i < num_steps_later; ++i) engine.loop.RunOneStep();
    engine.loop.Cancel({2});
    engine.loop.RunOneStep();
    EXPECT_EQ(engine.sink.Finish(2), FinishReason::kCancelled);
    engine.RunUntilIdle();
    EXPECT_EQ(engine.sink.num_finished(), 3U);
    EXPECT_TRUE(engine.HoldsNothing());
  }
}

TEST(PreemptionTest, LetsNoLaterRequestTakeThePlaceOfAPreemptedOne) {
  EngineForTest engine(Blocks(7));
  ASSERT_THAT(engine.loop.Submit(RequestOf(0, 3, 9)), IsOk());
  engine.clock.Advance(absl::Seconds(1));
  ASSERT_THAT(engine.loop.Submit(RequestOf(1, 13, 12)), IsOk());  // preempted with five blocks, of which four stay free
  engine.clock.Advance(absl::Seconds(1));
  ASSERT_THAT(engine.loop.Submit(RequestOf(2, 2, 2)), IsOk());  // would fit into one
  engine.RunUntilIdle();
  std::vector<size_t> lengths;
  for (const auto& step : engine.worker.plans()) {
    for (const AddedSequence& added : step[0].added) lengths.push_back(added.prompt.size());
  }
  EXPECT_THAT(lengths, ElementsAre(3, 13, 13, 2));
}

TEST(PreemptionTest, ReservesEverythingAtTheStartWhenNoPreemptionIsAllowed) {
  EngineForTest engine(Blocks(6), {.preemptions_max = 0});
  for (int64_t id = 0; id < 5; ++id) ASSERT_THAT(engine.loop.Submit(RequestOf(id, 3, 9)), IsOk());
  engine.loop.RunOneStep();
  EXPECT_EQ(engine.loop.Status().num_running, 1) << "3 blocks each of 6, one of which stays free";
  engine.RunUntilIdle();
  EXPECT_EQ(engine.loop.Status().num_preemptions, 0);
  EXPECT_EQ(engine.sink.num_finished(), 5U);
}

TEST(PreemptionTest, MovesToARankThatHasRoom) {
  FakeWorkerOptions options = Blocks(6);
  options.limits.num_ranks = 2;
  EngineForTest engine(options);
  for (int64_t id = 0; id < 6; ++id) {  // three on each rank; those on the second end early
    ASSERT_THAT(engine.loop.Submit(RequestOf(id, 3, id % 2 == 0 ? 9 : 4)), IsOk());
    engine.clock.Advance(absl::Seconds(1));
  }
  engine.RunUntilIdle();
  EXPECT_EQ(engine.loop.Status().num_preemptions, 1);
  bool is_moved = false;
  for (const auto& step : engine.worker.plans()) {
    for (const AddedSequence& added : step[1].added) is_moved = is_moved || !added.generated.empty();
  }
  EXPECT_TRUE(is_moved);
  EXPECT_EQ(engine.sink.Tokens(4), engine.worker.model().Answer(RequestOf(4, 3, 9)));
}

}  // namespace
}  // namespace tessera
