#include "worker/model/expert_rebalancer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <tuple>
#include <vector>

#include "base/status_matchers.h"
#include "worker/exchange/in_process_exchange.h"
#include "worker/model/testing/golden.h"
#include "worker/model/testing/test_backends.h"
#include "worker/model/testing/test_rank.h"

namespace tessera {
namespace {

constexpr int32_t kRanks = 4;
const std::vector<BlockId> kTable = {3, 0, 7};

class ExpertRebalancerTest : public testing::TestWithParam<std::tuple<TestBackend, Precision>> {
 protected:
  const Golden golden_ = ReadGolden("v3");
  const std::unique_ptr<Checkpoint> checkpoint_ = OpenOrDie(golden_.folder);
};

// Rank r runs tokens that begin at token r over and over, while experts with copies move between the ranks.
TEST_P(ExpertRebalancerTest, ExpertsMoveWhileServingAndResultsStayTheSame) {
  const ModelConfig& config = checkpoint_->config();
  const int32_t num_slots = config.n_routed_experts + kRanks;
  auto exchanges = MakeInProcessExchanges({.num_ranks = kRanks,
                                           .n_routed_experts = config.n_routed_experts,
                                           .num_experts_per_tok = config.router.num_experts_per_tok,
                                           .hidden_size = config.hidden_size,
                                           .step_tokens_max = 160,
                                           .num_slots = num_slots,
                                           .wire = WireType(std::get<1>(GetParam()))},
                                          absl::Minutes(2));
  std::vector<std::thread> threads;
  for (int32_t r = 0; r < kRanks; ++r) {
    threads.emplace_back([&, r] {
      const auto tokens = std::span<const TokenId>(golden_.tokens).subspan(static_cast<size_t>(r), 8);
      const std::vector<SequenceSlice> slices = {{.tokens = tokens, .num_prompt = 5, .block_table = kTable}};
      const Precision precision = std::get<1>(GetParam());
      TestRank alone(*checkpoint_, {.precision = precision}, std::get<0>(GetParam()).make());
      const auto wanted = alone.Run(slices);

      TestRank rank(*checkpoint_, {.precision = precision, .rank = r, .num_ranks = kRanks, .num_slots = num_slots},
                    std::get<0>(GetParam()).make(), std::move(exchanges[static_cast<size_t>(r)]));
      ExpertRebalancer rebalancer({.interval_steps = 4, .gain_min = 0.01, .steps_between_meetings = 2}, *checkpoint_,
                                  {.rank = r, .num_ranks = kRanks, .num_slots = num_slots, .precision = precision},
                                  rank.backend(), rank.weights(), rank.model().decoder().expert_load(),
                                  rank.exchange());
      for (int64_t step = 1; step <= 60; ++step) {
        ASSERT_THAT(rebalancer.Advance(step), IsOk());
        ASSERT_EQ(rank.Run(slices), wanted) << "rank " << r << ", step " << step;
      }
      EXPECT_GE(rebalancer.num_switched(), 1) << "the test needs experts that move";
      EXPECT_GT(rebalancer.balancedness_planned(), 0.5);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Backends, ExpertRebalancerTest,
                         testing::Combine(testing::ValuesIn(TestBackends()),
                                          testing::Values(Precision::kF32, Precision::kBF16)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name +
                                  (std::get<1>(test.param) == Precision::kF32 ? "_F32" : "_BF16");
                         });

}  // namespace
}  // namespace tessera
