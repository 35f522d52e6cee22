#include "worker/exchange/local_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ExchangeConfig SmallConfig() {
  return {.num_ranks = 1, .n_routed_experts = 4, .num_experts_per_tok = 2, .hidden_size = 3, .step_tokens_max = 5};
}

TEST(LocalExchangeTest, SortsPairsByExpertAndReturnsEachOutputToItsSlot) {
  const auto exchange = MakeLocalExchange(SmallConfig());
  const std::vector<float> input(6);
  const std::vector<int32_t> experts = {3, 0, 1, 3};
  ASSERT_THAT(exchange->BeginStep(1, std::vector<int32_t>{2}), IsOk());
  const auto received = exchange->Dispatch({input.data(), {2, 3}}, {experts.data(), {2, 2}});
  ASSERT_THAT(received, IsOk());
  EXPECT_EQ(received->input.data(), input.data()) << "one rank must not copy its tokens";
  EXPECT_THAT(received->pair_token, ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(received->expert_begin, ElementsAre(0, 1, 2, 2, 4));

  for (int64_t p = 0; p < 4; ++p) received->output.row(p)[0] = static_cast<float>(p);
  std::vector<float> contributions(12, -1);
  ASSERT_THAT(exchange->Combine({contributions.data(), {2, 2, 3}}), IsOk());
  EXPECT_EQ(contributions[0], 2);  // token 0, expert 3
  EXPECT_EQ(contributions[3], 0);  // token 0, expert 0
  EXPECT_EQ(contributions[6], 1);  // token 1, expert 1
  EXPECT_EQ(contributions[9], 3);  // token 1, expert 3
}

TEST(LocalExchangeTest, AnExpertWithoutTokensHasNoPairs) {
  const auto exchange = MakeLocalExchange(SmallConfig());
  ASSERT_THAT(exchange->BeginStep(1, std::vector<int32_t>{0}), IsOk());
  const auto received = exchange->Dispatch({nullptr, {0, 3}}, {nullptr, {0, 2}});
  ASSERT_THAT(received, IsOk());
  EXPECT_THAT(received->pair_token, ElementsAre());
  EXPECT_THAT(received->expert_begin, ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(exchange->Combine({nullptr, {0, 2, 3}}), IsOk());
}

TEST(LocalExchangeTest, RefusesAPlanForAnotherNumberOfRanks) {
  const auto exchange = MakeLocalExchange(SmallConfig());
  EXPECT_THAT(exchange->BeginStep(9, std::vector<int32_t>{1, 1}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("step 9")));
}

TEST(LocalExchangeTest, ReturnsTheReasonAfterAnAbort) {
  const auto exchange = MakeLocalExchange(SmallConfig());
  exchange->Abort(absl::InternalError("device lost"));
  EXPECT_THAT(exchange->BeginStep(1, std::vector<int32_t>{0}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("device lost")));
}

}  // namespace
}  // namespace tessera
