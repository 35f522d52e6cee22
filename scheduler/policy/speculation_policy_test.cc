#include "scheduler/policy/speculation_policy.h"

#include <deque>
#include <random>
#include <utility>

#include "base/fake_clock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

// Workers whose step takes base + per_row · rows, plus a pass of the module for each draft; a share of drafts is
// accepted. Two steps are under way, as in the engine loop.
struct Workers {
  absl::Duration base = absl::Milliseconds(10);
  absl::Duration per_row = absl::Microseconds(10);
  absl::Duration per_draft_pass = absl::Microseconds(500);
  double accepted = 0.8;
  double noise = 0;
};

class Engine {
 public:
  explicit Engine(const SpeculationConfig& config) : policy(config) {}

  // Runs steps and returns the fraction of them that drafted nothing.
  double Run(const Workers& workers, int32_t num_decoding, int num_steps, int64_t num_prefill_tokens = 0) {
    int num_off = 0;
    for (int i = 0; i < num_steps; ++i) {
      const int32_t draft_tokens = policy.DraftTokens(num_decoding);
      num_off += draft_tokens == 0 ? 1 : 0;
      num_verified_ = std::exchange(num_drafted_, draft_tokens);
      double tokens = 1, chance = 1;
      for (int32_t k = 0; k < num_verified_; ++k) tokens += chance *= workers.accepted;
      absl::Duration took =
          workers.base + workers.per_row * num_decoding * (1 + num_verified_) + workers.per_draft_pass * draft_tokens;
      took *= 1 + workers.noise * std::uniform_real_distribution<>(-1, 1)(random_);
      const absl::Time start = clock_.Now();
      clock_.Advance(took + absl::Milliseconds(num_prefill_tokens));
      under_way_.push_back({draft_tokens, num_decoding, num_prefill_tokens,
                            static_cast<int64_t>(tokens * num_decoding + 0.5), clock_.Now() - start});
      if (under_way_.size() < 2) continue;
      policy.OnStep(under_way_.front());
      under_way_.pop_front();
    }
    return static_cast<double>(num_off) / num_steps;
  }

  SpeculationPolicy policy;

 private:
  FakeClock clock_;
  std::mt19937 random_{7};
  std::deque<StepSample> under_way_;
  int32_t num_drafted_ = 0;
  int32_t num_verified_ = 0;
};

TEST(SpeculationPolicyTest, WithoutAModuleNothingIsDrafted) {
  Engine engine({.draft_tokens_max = 0});
  EXPECT_EQ(engine.Run({}, 10, 1000), 1.0);
}

TEST(SpeculationPolicyTest, KeepsDraftingWhereItPaysAndTriesWithoutRarely) {
  Engine engine({.draft_tokens_max = 1});
  EXPECT_LT(engine.Run({}, 10, 5000), 0.03);
  EXPECT_EQ(engine.policy.Settled(10), 1);
}

TEST(SpeculationPolicyTest, SwitchesOffWhenDraftsAreRejected) {
  Engine engine({.draft_tokens_max = 1});
  EXPECT_GT(engine.Run({.accepted = 0.02}, 10, 5000), 0.95);
  EXPECT_EQ(engine.policy.Settled(10), 0);
}

TEST(SpeculationPolicyTest, SwitchesOffForLargeBatchesOnly) {
  Engine engine({.draft_tokens_max = 1});
  const Workers compute_bound_when_large = {.per_row = absl::Microseconds(100), .accepted = 0.6};
  for (int i = 0; i < 100; ++i) {  // sizes take turns, as when streams come and go
    engine.Run(compute_bound_when_large, 4, 50);
    engine.Run(compute_bound_when_large, 512, 50);
  }
  EXPECT_EQ(engine.policy.Settled(4), 1);
  EXPECT_EQ(engine.policy.Settled(512), 0);
}

TEST(SpeculationPolicyTest, FindsTheBestNumberOfDrafts) {
  Engine engine({.draft_tokens_max = 4});
  // Per-step tokens for 0 … 4 drafts: 1, 1.6, 1.96, 2.18, 2.31; milliseconds: 10.1, 12.2, 14.3, 16.4, 18.5.
  const Workers workers = {.per_row = absl::Microseconds(1), .per_draft_pass = absl::Milliseconds(2), .accepted = 0.6};
  engine.Run(workers, 100, 30'000);
  EXPECT_EQ(engine.policy.Settled(100), 2);
}

TEST(SpeculationPolicyTest, ComesBackWhenDraftsAreAcceptedAgain) {
  Engine engine({.draft_tokens_max = 1});
  engine.Run({.accepted = 0}, 3, 3000);
  ASSERT_EQ(engine.policy.Settled(3), 0);
  engine.Run({.accepted = 0.9}, 3, 256 * 16 + 2 * 256);
  EXPECT_EQ(engine.policy.Settled(3), 1);
}

TEST(SpeculationPolicyTest, DoesNotSwingWhenBothAreEquallyFast) {
  Engine engine({.draft_tokens_max = 1});
  // With one sequence and no accepted draft the two differ by 1 %, less than the margin, under 1 % of noise.
  const Workers equal = {
      .per_row = absl::ZeroDuration(), .per_draft_pass = absl::Microseconds(100), .accepted = 0, .noise = 0.01};
  int num_switches = 0;
  int32_t last = engine.policy.Settled(1);
  for (int i = 0; i < 200; ++i) {
    engine.Run(equal, 1, 100);
    num_switches += engine.policy.Settled(1) != last ? 1 : 0;
    last = engine.policy.Settled(1);
  }
  EXPECT_EQ(num_switches, 0);
}

TEST(SpeculationPolicyTest, StepsWithPrefillDecideNothing) {
  Engine engine({.draft_tokens_max = 1});
  EXPECT_LT(engine.Run({.accepted = 0}, 10, 5000, /*num_prefill_tokens=*/500), 0.01);
  EXPECT_EQ(engine.policy.Settled(10), 1);
}

TEST(SpeculationPolicyTest, TheSameSamplesGiveTheSameDecisions) {
  const auto run = [] {
    Engine engine({.draft_tokens_max = 3});
    std::vector<double> off;
    for (int i = 0; i < 100; ++i) off.push_back(engine.Run({.accepted = 0.3, .noise = 0.1}, 1 + i % 20, 37));
    return off;
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace tessera
