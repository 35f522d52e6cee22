#include "worker/exchange/in_process_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <vector>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;

constexpr int kHidden = 5;

ExchangeConfig ConfigOf(int32_t num_ranks) {
  return {.num_ranks = num_ranks,
          .n_routed_experts = 8,
          .num_experts_per_tok = 3,
          .hidden_size = kHidden,
          .step_tokens_max = 65};
}

void RunRanks(std::vector<std::unique_ptr<ExpertExchange>>& exchanges,
              const std::function<void(ExpertExchange&)>& body) {
  std::vector<std::thread> threads;
  for (auto& exchange : exchanges) threads.emplace_back([&] { body(*exchange); });
  for (std::thread& thread : threads) thread.join();
}

// One MoE layer whose expert e multiplies by e + 1. Token t of rank r holds 100·r + t, so every output tells its way.
void RunLayer(ExpertExchange& exchange, int32_t num_tokens, int seed) {
  std::vector<float> input(static_cast<size_t>(num_tokens * kHidden));
  std::vector<int32_t> experts;
  for (int t = 0; t < num_tokens; ++t) {
    for (int d = 0; d < kHidden; ++d) {
      input[static_cast<size_t>(t * kHidden + d)] = static_cast<float>(100 * exchange.rank() + t);
    }
    for (int i = 0; i < 3; ++i) experts.push_back((seed + 5 * t + 3 * i) % 8);
  }
  const auto received = exchange.Dispatch({input.data(), {num_tokens, kHidden}}, {experts.data(), {num_tokens, 3}});
  ASSERT_THAT(received, IsOk());
  for (size_t e = 0; e + 1 < received->expert_begin.size(); ++e) {
    const float factor =
        static_cast<float>(exchange.rank() * exchange.config().experts_per_rank()) + 1 + static_cast<float>(e);
    for (int32_t p = received->expert_begin[e]; p < received->expert_begin[e + 1]; ++p) {
      const float* token = received->input.row(received->pair_token[static_cast<size_t>(p)]);
      for (int d = 0; d < kHidden; ++d) received->output.row(p)[d] = factor * token[d];
    }
  }
  std::vector<float> contributions(static_cast<size_t>(num_tokens * 3 * kHidden), -1);
  ASSERT_THAT(exchange.Combine({contributions.data(), {num_tokens, 3, kHidden}}), IsOk());
  for (size_t slot = 0; slot < experts.size(); ++slot) {
    for (size_t d = 0; d < kHidden; ++d) {
      EXPECT_EQ(contributions[slot * kHidden + d],
                static_cast<float>(experts[slot] + 1) * input[slot / 3 * kHidden + d]);
    }
  }
}

class InProcessExchangeTest : public testing::TestWithParam<std::vector<int32_t>> {};

TEST_P(InProcessExchangeTest, ReturnsEveryContributionToItsTokenAndSlot) {
  const std::vector<int32_t>& tokens = GetParam();
  auto exchanges = MakeInProcessExchanges(ConfigOf(static_cast<int32_t>(tokens.size())), absl::Seconds(60));
  RunRanks(exchanges, [&](ExpertExchange& exchange) {
    for (int step = 1; step <= 3; ++step) {
      ASSERT_THAT(exchange.BeginStep(step, tokens), IsOk());
      for (int layer = 0; layer < 4; ++layer) {
        RunLayer(exchange, tokens[static_cast<size_t>(exchange.rank())], step + layer + exchange.rank());
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(TokenCounts, InProcessExchangeTest,
                         testing::Values(std::vector<int32_t>{3}, std::vector<int32_t>{1, 0},
                                         std::vector<int32_t>{0, 0}, std::vector<int32_t>{1, 63, 0, 65},
                                         std::vector<int32_t>{0, 0, 0, 1, 7, 0, 0, 2}));

TEST(InProcessExchangeFailureTest, ARankThatFailsStopsTheOthersWithItsReason) {
  auto exchanges = MakeInProcessExchanges(ConfigOf(4), absl::Seconds(60));
  for (auto& exchange : exchanges) {
    ASSERT_THAT(exchange->BeginStep(6, std::vector<int32_t>{0, 0, 0, 0}), IsOk());
  }
  RunRanks(exchanges, [](ExpertExchange& exchange) {
    if (exchange.rank() == 2) {
      exchange.Abort(absl::InternalError("rank 2 failed in step 6: device lost"));
      return;
    }
    EXPECT_THAT(exchange.Dispatch({nullptr, {0, kHidden}}, {nullptr, {0, 3}}),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("rank 2 failed in step 6")));
  });
}

TEST(InProcessExchangeFailureTest, ARankThatSkipsALayerIsNoticed) {
  auto exchanges = MakeInProcessExchanges(ConfigOf(2), absl::Milliseconds(50));
  RunRanks(exchanges, [](ExpertExchange& exchange) {
    const std::vector<int32_t> tokens = {0, 0};
    ASSERT_THAT(exchange.BeginStep(6, tokens), IsOk());
    if (exchange.rank() == 1) return;
    EXPECT_THAT(exchange.Dispatch({nullptr, {0, kHidden}}, {nullptr, {0, 3}}),
                StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("rank 1")));
  });
}

TEST(InProcessExchangeFailureTest, RefusesMoreTokensThanPlanned) {
  auto exchanges = MakeInProcessExchanges(ConfigOf(1), absl::Seconds(60));
  ASSERT_THAT(exchanges[0]->BeginStep(4, std::vector<int32_t>{1}), IsOk());
  const std::vector<float> input(2 * kHidden);
  const std::vector<int32_t> experts(6);
  EXPECT_THAT(exchanges[0]->Dispatch({input.data(), {2, kHidden}}, {experts.data(), {2, 3}}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("2 tokens dispatched, the plan has 1")));
}

}  // namespace
}  // namespace tessera
