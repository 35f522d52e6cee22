// Random traces under memory pressure, with cancellations, deadlines and broken groups at random moments. The fake
// worker aborts on every plan that breaks the contract, the sink on a request that ends twice or goes on after its end.

#include <map>
#include <random>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/engine_for_test.h"

namespace tessera {
namespace {

constexpr TokenId kStopToken = 5;

class Trace {
 public:
  explicit Trace(uint64_t seed) : random_(seed) {}

  int32_t Int(int32_t min, int32_t max) {
    return min + static_cast<int32_t>(random_() % static_cast<uint64_t>(max - min + 1));
  }
  bool OneIn(int32_t n) { return Int(1, n) == 1; }

  FakeWorkerOptions Workers() {
    FakeWorkerOptions options;
    options.limits = {.num_ranks = Int(1, 3),
                      .num_blocks = Int(6, 24),
                      .block_tokens = Int(1, 6),
                      .step_tokens_max = Int(4, 40),
                      .sequences_max = Int(2, 12),
                      .context_tokens_max = 200,
                      .vocab_size = 1000};
    options.limits.draft_tokens_max = OneIn(3) ? 0 : Int(1, 4);
    options.model.stop_period = OneIn(2) ? 30 : 0;
    options.model.right_draft_share = 0.1 * Int(0, 10);
    return options;
  }

  EngineConfig Config(const WorkerLimits& limits) {
    return {.step_tokens_max = OneIn(2) ? 0 : Int(1, limits.step_tokens_max),
            .prefill_chunk_tokens_max = OneIn(2) ? 0 : Int(1, limits.step_tokens_max),
            .running_max = OneIn(2) ? 0 : Int(1, limits.sequences_max),
            .free_blocks_min_fraction = OneIn(2) ? 0.01 : 0.2,
            .preemptions_max = Int(0, 4),
            .draft_tokens = OneIn(2) ? -1 : Int(0, limits.draft_tokens_max),
            .adapts_drafts = OneIn(2),
            .has_prefix_cache = !OneIn(4),
            .prefix_cache_key_bits = OneIn(3) ? 4 : 128};
  }

  Request NextRequest(absl::Time now) {
    Request request = RequestOf(Int(0, 2), Int(1, 25), Int(1, 40));  // one of three beginnings
    request.id = {next_id_++};
    request.prompt.push_back(static_cast<TokenId>(request.id.value));  // no two are equal
    request.priority = Int(0, 2);
    request.sampling.seed = random_();
    request.sampling.num_logprobs = OneIn(3) ? 1 : -1;
    request.sampling.num_prompt_logprobs = OneIn(3) ? 0 : -1;
    request.min_tokens = OneIn(3) ? Int(0, request.max_tokens) : 0;
    if (OneIn(2)) request.stop_tokens = {kStopToken};
    if (OneIn(6)) request.deadline = now + absl::Milliseconds(Int(0, 60));
    return request;
  }

  int64_t num_requests() const { return next_id_; }

 private:
  std::mt19937_64 random_;
  int64_t next_id_ = 0;
};

bool IsPrefix(const std::vector<TokenId>& part, const std::vector<TokenId>& whole) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

void ExpectOutcome(const EngineForTest& engine, const Request& request) {
  const RequestTokens got = engine.sink.Of(request.id.value);
  const std::vector<TokenId> undisturbed = engine.worker.model().Answer(request);
  ASSERT_TRUE(got.finish.has_value());
  if (got.finish == FinishReason::kStop || got.finish == FinishReason::kLength) {
    EXPECT_EQ(got.tokens, undisturbed);
    EXPECT_EQ(got.finish == FinishReason::kStop, !request.stop_tokens.empty() && got.tokens.back() == kStopToken);
    const size_t num_prompt_logprobs = request.sampling.num_prompt_logprobs < 0 ? 0 : request.prompt.size() - 1;
    EXPECT_EQ(got.prompt_logprobs.size(), num_prompt_logprobs);
  } else {
    EXPECT_TRUE(IsPrefix(got.tokens, undisturbed));
  }
  for (size_t i = 0; i < got.prompt_logprobs.size(); ++i) {
    EXPECT_EQ(got.prompt_logprobs[i].token.token, request.prompt[i + 1]);
  }
  ASSERT_EQ(got.logprobs.size(), request.sampling.num_logprobs < 0 ? 0 : got.tokens.size());
  for (size_t i = 0; i < got.logprobs.size(); ++i) EXPECT_EQ(got.logprobs[i].token.token, got.tokens[i]);
}

void ExpectBoundedPlans(const FakeWorker& worker, const EngineConfig& config) {
  const RankPolicy policy = ToRankPolicy(config, worker.limits());
  std::map<std::vector<TokenId>, int32_t> num_runs;
  for (const auto& step : worker.plans()) {
    for (size_t rank = 0; rank < step.size(); ++rank) {
      EXPECT_LE(step[rank].tokens_per_rank[rank], policy.step_tokens_max);
      EXPECT_LE(step[rank].slices.size(), static_cast<size_t>(policy.running_max));
      for (const AddedSequence& added : step[rank].added) ++num_runs[added.prompt];
    }
  }
  for (const auto& [prompt, count] : num_runs) EXPECT_LE(count, 1 + policy.preemptions_max);
}

class EnginePropertyTest : public testing::TestWithParam<int> {};

TEST_P(EnginePropertyTest, LosesNothingDoublesNothingAndEndsEverythingOnce) {
  constexpr int kTracesPerTest = 40;
  int64_t num_preemptions = 0, num_accepted = 0, num_cached = 0, num_collisions = 0;
  for (int i = 0; i < kTracesPerTest; ++i) {
    const auto seed = static_cast<uint64_t>(GetParam() * kTracesPerTest + i);
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Trace trace(seed);
    FakeWorkerOptions options = trace.Workers();
    if (trace.OneIn(8)) options.break_at_step = trace.Int(1, 60);
    const EngineConfig config = trace.Config(options.limits);
    EngineForTest engine(options, config);
    std::vector<Request> accepted;
    const int32_t num_steps = trace.Int(1, 150);
    for (int32_t step = 0; step < num_steps; ++step) {
      engine.clock.Advance(absl::Milliseconds(1));
      for (int32_t n = trace.OneIn(2) ? trace.Int(0, 2) : 0; n > 0; --n) {
        const Request request = trace.NextRequest(engine.clock.Now());
        if (engine.loop.Submit(request).ok()) accepted.push_back(request);
      }
      if (trace.OneIn(10)) engine.loop.Cancel({trace.Int(0, static_cast<int32_t>(trace.num_requests()))});
      engine.loop.RunOneStep();
      const EngineStatus status = engine.loop.Status();
      ASSERT_EQ(static_cast<size_t>(status.num_running + status.num_waiting) + engine.sink.num_finished(),
                accepted.size());
      ASSERT_LE(status.num_blocks_used, status.num_blocks_total);
    }
    engine.RunUntilIdle();
    EXPECT_EQ(engine.sink.num_finished(), accepted.size());
    for (const Request& request : accepted) ExpectOutcome(engine, request);
    ExpectBoundedPlans(engine.worker, config);
    EXPECT_TRUE(engine.HoldsNothing() || options.break_at_step > 0);
    EXPECT_EQ(engine.loop.Status().num_running + engine.loop.Status().num_waiting, 0);
    EXPECT_EQ(engine.loop.Status().num_blocks_used, 0);
    num_preemptions += engine.loop.Status().num_preemptions;
    num_accepted += engine.loop.Status().num_accepted_by_position[0];
    num_cached += engine.loop.Status().num_prefix_cache_hits;
    num_collisions += engine.loop.Status().num_prefix_cache_collisions;
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(num_preemptions, 0) << "the traces put no pressure on the cache";
  EXPECT_GT(num_accepted, 0);
  EXPECT_GT(num_cached, 0);
  EXPECT_GT(num_collisions, 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, EnginePropertyTest, testing::Range(0, 10));

TEST(EngineDeterminismTest, PlansTheSameForTheSameTrace) {
  const auto run = [] {
    Trace trace(/*seed=*/17);
    const FakeWorkerOptions options = trace.Workers();
    EngineForTest engine(options, trace.Config(options.limits));
    for (int step = 0; step < 60; ++step) {
      engine.loop.Submit(trace.NextRequest(engine.clock.Now())).IgnoreError();  // some never fit
      engine.loop.RunOneStep();
    }
    engine.RunUntilIdle();
    std::vector<std::tuple<int64_t, size_t, int64_t, int32_t>> slices;
    for (const auto& step : engine.worker.plans()) {
      for (size_t rank = 0; rank < step.size(); ++rank) {
        for (const Slice& slice : step[rank].slices) {
          slices.emplace_back(step[rank].step, rank, slice.sequence.value, slice.num_tokens);
        }
      }
    }
    return slices;
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace tessera
