// Random groups under random load: simulations abort when a token is lost, doubled or out of order, or a request ends
// twice (simulation.h); here, that all end, nothing is left behind and nobody starves.

#include <algorithm>
#include <map>
#include <vector>

#include "base/status_matchers.h"
#include "gtest/gtest.h"
#include "scheduler/simulation/draws.h"
#include "scheduler/simulation/report.h"
#include "scheduler/simulation/simulation.h"
#include "scheduler/simulation/trace_generator.h"

namespace tessera {
namespace {

class Chance {
 public:
  explicit Chance(uint64_t seed) : draws_(seed) {}

  int32_t Int(int32_t min, int32_t max) { return min + static_cast<int32_t>(draws_.Below(max - min + 1)); }
  bool OneIn(int32_t n) { return Int(1, n) == 1; }
  double Fraction() { return draws_.Uniform(); }

 private:
  Draws draws_;
};

SimulationConfig RandomConfig(Chance& chance) {
  SimulationConfig config;
  config.num_groups = chance.Int(1, 3);
  config.policy = static_cast<GroupPolicy>(chance.Int(0, 2));
  config.worker.limits = {.num_ranks = chance.Int(1, 3),
                          .num_blocks = chance.Int(20, 80),
                          .block_tokens = chance.Int(1, 8),
                          .step_tokens_max = chance.Int(8, 64),
                          .sequences_max = chance.Int(2, 12),
                          .context_tokens_max = 200,
                          .vocab_size = 1000,
                          .draft_tokens_max = chance.OneIn(2) ? chance.Int(1, 4) : 0};
  config.worker.cost = {.step = absl::Microseconds(chance.Int(1, 5000)),
                        .prefill_token = absl::Microseconds(chance.Int(0, 100)),
                        .decode_token = absl::Microseconds(chance.Int(0, 200)),
                        .cache_token = absl::Nanoseconds(chance.Int(0, 500))};
  config.worker.draft_acceptance = chance.Fraction();
  config.engine = {.queue_requests_max = chance.OneIn(3) ? 20 : 4096,
                   .prefill_chunk_tokens_max = chance.OneIn(2) ? 0 : chance.Int(1, 8),
                   .free_blocks_min_fraction = chance.OneIn(2) ? 0.01 : 0.2,
                   .preemptions_max = chance.Int(0, 4)};
  return config;
}

TraceRecipe RandomRecipe(Chance& chance) {
  using Kind = LengthDistribution::Kind;
  TraceRecipe recipe;
  recipe.num_requests = chance.Int(1, 150);
  recipe.requests_per_second = chance.OneIn(5) ? 0 : chance.Int(5, 2000);
  recipe.prompt = {Kind::kExponential, static_cast<double>(chance.Int(1, 40))};
  recipe.output = {Kind::kExponential, static_cast<double>(chance.Int(1, 40))};
  recipe.context_tokens_max = 200;
  recipe.prefix_share = chance.OneIn(2) ? chance.Fraction() : 0;
  recipe.num_prefixes = chance.Int(1, 3);
  recipe.prefix_tokens = chance.Int(1, 60);
  recipe.client_weights.assign(static_cast<size_t>(chance.Int(1, 5)), 1.0);
  recipe.client_weights[0] = 10;
  recipe.cancel_share = chance.OneIn(2) ? 0.2 : 0;
  recipe.cancel_within = absl::Milliseconds(500);
  recipe.seed = static_cast<uint64_t>(chance.Int(0, 1 << 30));
  return recipe;
}

class SimulationPropertyTest : public testing::TestWithParam<int> {};

TEST_P(SimulationPropertyTest, EveryRequestEndsOnceAndNothingIsLeftBehind) {
  constexpr int kTracesPerTest = 40;
  int64_t num_preemptions = 0;
  for (int i = 0; i < kTracesPerTest; ++i) {
    const auto seed = static_cast<uint64_t>(GetParam() * kTracesPerTest + i);
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Chance chance(seed);
    const SimulationConfig config = RandomConfig(chance);
    Trace trace = GenerateTrace(RandomRecipe(chance));
    for (TraceRequest& request : trace.requests) request.priority = chance.Int(0, 2);
    ASSERT_THAT(Validate(config), IsOk());
    const SimulationOutcome outcome = Simulate(config, trace);
    for (size_t r = 0; r < trace.requests.size(); ++r) {
      const RequestOutcome& request = outcome.requests[r];
      ASSERT_EQ(request.finish.has_value(), request.refused.ok()) << "request " << r;
      if (!request.refused.ok()) continue;
      const bool may_cancel = trace.requests[r].cancel_after != absl::InfiniteDuration();
      EXPECT_TRUE(request.finish == FinishReason::kStop || (may_cancel && request.finish == FinishReason::kCancelled));
      if (request.finish == FinishReason::kStop) {
        EXPECT_EQ(request.num_tokens, trace.requests[r].output_tokens);
      }
    }
    for (const GroupOutcome& group : outcome.groups) {
      EXPECT_EQ(group.status.num_blocks_used, 0);
      EXPECT_EQ(group.status.num_running + group.status.num_waiting, 0);
      EXPECT_EQ(group.status.num_waiting_tokens, 0);
      EXPECT_EQ(group.num_sequences_left, 0);
      EXPECT_LE(group.blocks_used_max, group.status.num_blocks_total);
      num_preemptions += group.status.num_preemptions;
    }
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(num_preemptions, 0) << "the traces put no pressure on the cache";
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimulationPropertyTest, testing::Range(0, 8));

// Tokens of the requests of each client that had started by `time`.
std::vector<int64_t> GivenBy(absl::Duration time, const Trace& trace, const SimulationOutcome& outcome) {
  std::vector<int64_t> given(trace.clients.size());
  for (size_t i = 0; i < trace.requests.size(); ++i) {
    const TraceRequest& asked = trace.requests[i];
    if (outcome.requests[i].started > time) continue;
    given[static_cast<size_t>(asked.client)] += asked.prompt_tokens + asked.output_tokens;
  }
  return given;
}

// Clients whose requests all wait from the beginning, with different lengths: while all of them still have one that
// waits, none has been given more than another by more than what can run at once.
TEST(FairnessPropertyTest, ClientsThatAlwaysWaitAreGivenTheSame) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Chance chance(seed);
    SimulationConfig config = RandomConfig(chance);
    config.num_groups = 1;
    config.engine.queue_requests_max = 4096;
    config.engine.preemptions_max = 1;
    Trace trace = {{}, {"many short", "few long", "long prompts"}};
    for (int i = 0; i < 900; ++i) {
      const int32_t client = i % 3;
      const int32_t prompt = client == 2 ? chance.Int(50, 90) : chance.Int(1, 20);
      const int32_t output = client == 1 ? chance.Int(40, 80) : chance.Int(1, 20);
      trace.requests.push_back(
          {.prompt_tokens = prompt, .output_tokens = output, .max_tokens = output, .client = client});
    }
    if (!config.worker.limits.num_blocks || config.worker.limits.num_blocks * config.worker.limits.block_tokens < 110) {
      continue;  // some of them would never fit
    }
    const SimulationOutcome outcome = Simulate(config, trace);
    std::map<int32_t, absl::Duration> last_start;
    for (size_t i = 0; i < trace.requests.size(); ++i) {
      ASSERT_TRUE(outcome.requests[i].refused.ok()) << outcome.requests[i].refused;
      absl::Duration& last = last_start[trace.requests[i].client];
      last = std::max(last, outcome.requests[i].started);
    }
    const absl::Duration all_wait_until = std::min({last_start[0], last_start[1], last_start[2]});
    constexpr int64_t kRequestTokensMax = 110;
    const int64_t num_running_max = outcome.groups[0].running_max + 1;
    for (int part = 1; part <= 10; ++part) {
      const std::vector<int64_t> given = GivenBy(all_wait_until * part / 10, trace, outcome);
      const auto [least, most] = std::minmax_element(given.begin(), given.end());
      EXPECT_LE(*most - *least, 2 * num_running_max * kRequestTokensMax) << "in part " << part;
    }
    EXPECT_GT(GivenBy(all_wait_until, trace, outcome)[0], 0);
  }
}

// One client floods; every other client's request starts before more than a share of what the flood holds has.
TEST(FairnessPropertyTest, NobodyStarvesBesideAFlood) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Chance chance(seed);
    SimulationConfig config = RandomConfig(chance);
    config.num_groups = 1;
    config.engine.queue_requests_max = 100'000;
    config.worker.limits.num_blocks = 100;
    Trace trace = {{}, {"flood"}};
    for (int i = 0; i < 2000; ++i)
      trace.requests.push_back({.prompt_tokens = 20, .output_tokens = 20, .max_tokens = 20});
    constexpr int kOthers = 30;
    for (int i = 0; i < kOthers; ++i) {
      trace.clients.push_back("other");
      trace.requests.push_back({.arrival = absl::Milliseconds(i),
                                .prompt_tokens = 20,
                                .output_tokens = 20,
                                .max_tokens = 20,
                                .client = i + 1});
    }
    const SimulationOutcome outcome = Simulate(config, trace);
    absl::Duration last_other;
    for (int i = 0; i < kOthers; ++i) {
      last_other = std::max(last_other, outcome.requests[static_cast<size_t>(2000 + i)].started);
    }
    int num_flood_before = 0;
    for (int i = 0; i < 2000; ++i) {
      num_flood_before += outcome.requests[static_cast<size_t>(i)].started < last_other ? 1 : 0;
    }
    // What ran when the others came, and one turn beside each of theirs, with the slack of what runs at once.
    const int32_t num_slots = outcome.groups[0].running_max;
    EXPECT_LE(num_flood_before, kOthers + 4 * num_slots + absl::Milliseconds(kOthers) / config.worker.cost.step)
        << "of 2000";
  }
}

}  // namespace
}  // namespace tessera
