#include "scheduler/simulation/simulation.h"

#include <vector>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/simulation/report.h"
#include "scheduler/simulation/trace_generator.h"

namespace tessera {
namespace {

SimulationConfig Config(int32_t num_groups = 1) {
  return {.num_groups = num_groups,
          .worker = {.limits = {.num_ranks = 1,
                                .num_blocks = 64,
                                .block_tokens = 16,
                                .step_tokens_max = 64,
                                .sequences_max = 8,
                                .context_tokens_max = 512,
                                .vocab_size = 50'000},
                     .cost = {.step = absl::Milliseconds(10),
                              .prefill_token = absl::Milliseconds(1),
                              .decode_token = absl::Milliseconds(2)}}};
}

TraceRequest At(absl::Duration arrival, int32_t prompt_tokens, int32_t output_tokens, int32_t client = 0) {
  return {.arrival = arrival,
          .prompt_tokens = prompt_tokens,
          .output_tokens = output_tokens,
          .max_tokens = output_tokens,
          .client = client};
}

TEST(SimulationTest, OneRequestAloneTakesTheStepsItNeeds) {
  const Trace trace = {{At(absl::Seconds(3), 20, 3)}, {""}};
  const SimulationOutcome outcome = Simulate(Config(), trace);
  const RequestOutcome& request = outcome.requests[0];
  EXPECT_EQ(request.started, absl::Seconds(3));
  EXPECT_EQ(request.first_token, absl::Seconds(3) + absl::Milliseconds(30));
  EXPECT_EQ(request.end, absl::Seconds(3) + absl::Milliseconds(54));
  EXPECT_EQ(request.num_tokens, 3);
  EXPECT_EQ(request.finish, FinishReason::kStop);
  EXPECT_EQ(request.longest_gap, absl::Milliseconds(12));
  EXPECT_EQ(outcome.itl.count(), 2);
  EXPECT_EQ(outcome.groups[0].num_sequences_left, 0);
  EXPECT_EQ(outcome.groups[0].blocks_used_max, 2);
  EXPECT_EQ(outcome.groups[0].status.num_blocks_used, 0);
}

TEST(SimulationTest, ARequestThatComesDuringAStepWaitsForTheNextPlan) {
  Trace trace = {{At(absl::ZeroDuration(), 40, 30), At(absl::Milliseconds(51), 10, 1)}, {""}};
  const SimulationOutcome outcome = Simulate(Config(), trace);
  // Steps end at 50, 62, 74 … ms. At 50 ms the one that ends at 74 was planned; at 62 ms the newcomer's.
  EXPECT_EQ(outcome.requests[1].started, absl::Milliseconds(62));
  EXPECT_EQ(outcome.requests[1].first_token, absl::Milliseconds(74 + 10 + 2 + 10));
}

TEST(SimulationTest, GroupsRunSideBySide) {
  Trace trace = {{}, {""}};
  for (int i = 0; i < 4; ++i) trace.requests.push_back(At(absl::ZeroDuration(), 50, 20));
  const SimulationOutcome two = Simulate(Config(2), trace);
  const SimulationOutcome one = Simulate(Config(1), trace);
  int num_on_first = 0;
  for (const RequestOutcome& request : two.requests) num_on_first += request.group == 0 ? 1 : 0;
  EXPECT_EQ(num_on_first, 2);
  EXPECT_LT(two.end, one.end);
}

TEST(SimulationTest, FullQueuesRefuseAndTheRestEnds) {
  SimulationConfig config = Config();
  config.engine.queue_requests_max = 3;
  Trace trace = {{}, {""}};
  for (int i = 0; i < 10; ++i) trace.requests.push_back(At(absl::ZeroDuration(), 5, 5));
  trace.requests.push_back(At(absl::Seconds(1), 500, 50));  // never fits
  const SimulationOutcome outcome = Simulate(config, trace);
  const Report report = MakeReport(trace, outcome);
  EXPECT_EQ(report.all.num_refused, 8);
  EXPECT_EQ(report.all.num_completed, 3);
  EXPECT_EQ(outcome.requests[5].refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(outcome.requests[10].refused.code(), absl::StatusCode::kOutOfRange);
}

TEST(SimulationTest, ACancelledRequestEndsWithinAStep) {
  Trace trace = {{At(absl::ZeroDuration(), 10, 400), At(absl::ZeroDuration(), 10, 40)}, {""}};
  trace.requests[0].cancel_after = absl::Milliseconds(100);
  const SimulationOutcome outcome = Simulate(Config(), trace);
  EXPECT_EQ(outcome.requests[0].finish, FinishReason::kCancelled);
  EXPECT_LT(outcome.requests[0].end, absl::Milliseconds(100 + 3 * 14));
  EXPECT_EQ(outcome.requests[1].finish, FinishReason::kStop);
}

TEST(SimulationTest, AHeavyClientDoesNotDelayALightOne) {
  Trace trace = {{}, {"heavy", "light"}};
  for (int i = 0; i < 2000; ++i) trace.requests.push_back(At(absl::ZeroDuration(), 30, 20, /*client=*/0));
  for (int i = 0; i < 20; ++i) trace.requests.push_back(At(absl::Seconds(10 + i), 30, 20, /*client=*/1));
  const Report report = MakeReport(trace, Simulate(Config(), trace));
  ASSERT_EQ(report.clients.size(), 2U);
  EXPECT_EQ(report.clients[1].num_completed, 20);
  // A request takes about 20 steps of at most 74 ms, of which eight run: one ends every 190 ms at the latest.
  EXPECT_LT(report.clients[1].ttft.max(), absl::Milliseconds(500));
  EXPECT_GT(report.clients[0].ttft.max(), absl::Seconds(60));
}

TEST(SimulationTest, TheSameTraceGivesTheSameOutcome) {
  const Trace trace = GenerateTrace({.num_requests = 300,
                                     .requests_per_second = 40,
                                     .prompt = {LengthDistribution::Kind::kExponential, 40},
                                     .output = {LengthDistribution::Kind::kExponential, 20},
                                     .context_tokens_max = 400,
                                     .client_weights = {5, 1, 1},
                                     .cancel_share = 0.1,
                                     .seed = 5});
  const auto run = [&] {
    std::vector<std::tuple<int32_t, absl::Duration, absl::Duration, int32_t>> all;
    for (const RequestOutcome& one : Simulate(Config(3), trace).requests) {
      all.emplace_back(one.group, one.first_token, one.end, one.num_tokens);
    }
    return all;
  };
  EXPECT_EQ(run(), run());
}

TEST(SimulationTest, RefusesAConfigThatCannotRun) {
  EXPECT_THAT(Validate(Config()), IsOk());
  EXPECT_FALSE(Validate(Config(/*num_groups=*/0)).ok());
  SimulationConfig config = Config();
  config.worker.draft_acceptance = 2;
  EXPECT_FALSE(Validate(config).ok());
  config = Config();
  config.worker.cost.step = absl::ZeroDuration();
  EXPECT_FALSE(Validate(config).ok());
  config = Config();
  config.engine.running_max = 9;
  EXPECT_FALSE(Validate(config).ok());
}

}  // namespace
}  // namespace tessera
