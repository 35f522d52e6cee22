// What every form of exchange between ranks owes: the results of one rank, whatever the transport, shapes and
// placement; and errors that end every rank's calls.
#include "worker/exchange/expert_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <set>
#include <tuple>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/status_matchers.h"
#include "worker/exchange/testing/exchange_driver.h"
#include "worker/placement/expert_placement.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

ExchangeConfig ConfigOf(int32_t num_ranks, DType wire = DType::kF32) {
  return {.num_ranks = num_ranks,
          .n_routed_experts = 16,
          .num_experts_per_tok = 4,
          .hidden_size = 37,
          .step_tokens_max = 65,
          .wire = wire};
}

const auto kTransports =
    testing::Values(Transport::kThreads, Transport::kSharedMemory, Transport::kTcp, Transport::kTwoHosts);

using Parameters = std::tuple<Transport, int32_t, DType>;
class ExchangeResultsTest : public testing::TestWithParam<Parameters> {
 protected:
  const Transport transport_ = std::get<0>(GetParam());
  const int32_t num_ranks_ = std::get<1>(GetParam());
  const ExchangeConfig config_ = ConfigOf(num_ranks_, std::get<2>(GetParam()));
};

TEST_P(ExchangeResultsTest, AreThoseOfOneRankForEveryShape) {
  // Tokens of rank r in step s: shapes[(r + s) % shapes]; with ranks that have none, one, and all they may.
  const std::vector<int32_t> shapes = {0, 1, 63, 0, 65, 7, 64, 2};
  auto exchanges = ConnectGroup(config_, transport_);
  const ExpertMap map = ExpertMap::Even(config_.n_routed_experts, num_ranks_);
  RunRanks(exchanges, [&](ExpertExchange& exchange) {
    for (int step = 1; step <= 5; ++step) {
      std::vector<int32_t> tokens_per_rank;
      for (int32_t rank = 0; rank < num_ranks_; ++rank) {
        tokens_per_rank.push_back(shapes[static_cast<size_t>(rank + step) % shapes.size()]);
      }
      ASSERT_THAT(exchange.BeginStep(step, tokens_per_rank), IsOk());
      const int32_t num_tokens = tokens_per_rank[static_cast<size_t>(exchange.rank())];
      for (const Routing routing : {Routing::kSpread, Routing::kFirstExperts, Routing::kLastExperts}) {
        const auto seed = static_cast<uint32_t>(100 * step + exchange.rank());
        const RoutedTokens tokens = MakeRoutedTokens(config_, num_tokens, seed, routing);
        const auto got = RunMoeLayer(exchange, map, tokens);
        ASSERT_THAT(got, IsOk());
        EXPECT_EQ(*got, RunMoeLayerAlone(config_, tokens)) << "step " << step << ", rank " << exchange.rank();
      }
    }
  });
}

TEST_P(ExchangeResultsTest, DoNotDependOnThePlacement) {
  ExchangeConfig config = config_;
  config.num_slots = 24;  // half of the experts have a copy, some more
  std::vector<double> load(static_cast<size_t>(config.n_routed_experts));
  for (size_t e = 0; e < load.size(); ++e) load[e] = static_cast<double>(1 + (e * e) % 11);
  const auto slots = PlaceExperts(
      load, {.n_routed_experts = config.n_routed_experts, .num_slots = config.num_slots, .num_ranks = num_ranks_});
  ASSERT_THAT(slots, IsOk());
  const auto map = ExpertMap::FromSlots(*slots, config.n_routed_experts, num_ranks_);
  ASSERT_THAT(map, IsOk());
  auto exchanges = ConnectGroup(config, transport_);
  RunRanks(exchanges, [&](ExpertExchange& exchange) {
    const std::vector<int32_t> counts(static_cast<size_t>(num_ranks_), 65);
    ASSERT_THAT(exchange.BeginStep(1, counts), IsOk());
    const RoutedTokens tokens =
        MakeRoutedTokens(config, 65 - exchange.rank(), 7 + static_cast<uint32_t>(exchange.rank()));
    for (const ExpertMap& now : {*map, ExpertMap::Even(config.n_routed_experts, num_ranks_)}) {  // it may change
      const auto got = RunMoeLayer(exchange, now, tokens);
      ASSERT_THAT(got, IsOk());
      EXPECT_EQ(*got, RunMoeLayerAlone(config, tokens));
    }
  });
}

std::string ParametersName(const testing::TestParamInfo<Parameters>& test) {
  return absl::StrFormat("%s%dRanks%s", NameOf(std::get<0>(test.param)), std::get<1>(test.param),
                         std::get<2>(test.param) == DType::kBF16 ? "BF16" : "F32");
}
INSTANTIATE_TEST_SUITE_P(Groups, ExchangeResultsTest,
                         testing::Combine(kTransports, testing::Values(1, 2, 4, 8),
                                          testing::Values(DType::kF32, DType::kBF16)),
                         ParametersName);

class ExchangeTest : public testing::TestWithParam<Transport> {};

std::string TransportName(const testing::TestParamInfo<Transport>& test) { return NameOf(test.param); }
INSTANTIATE_TEST_SUITE_P(Transports, ExchangeTest, kTransports, TransportName);

// Each token once to each other rank that must see it, each contribution once back: what else is sent is small.
TEST_P(ExchangeTest, SendsLittleMoreThanTheRoutingNeeds) {
  const ExchangeConfig config{.num_ranks = 4,
                              .n_routed_experts = 32,
                              .num_experts_per_tok = 8,
                              .hidden_size = 1024,
                              .step_tokens_max = 32,
                              .wire = DType::kBF16};
  const ExpertMap map = ExpertMap::Even(config.n_routed_experts, config.num_ranks);
  auto exchanges = ConnectGroup(config, GetParam());
  std::vector<RoutedTokens> tokens;
  for (uint32_t rank = 0; rank < 4; ++rank) tokens.push_back(MakeRoutedTokens(config, 32, rank));
  RunRanks(exchanges, [&](ExpertExchange& exchange) {
    ASSERT_THAT(exchange.BeginStep(1, std::vector<int32_t>(4, 32)), IsOk());
    ASSERT_THAT(RunMoeLayer(exchange, map, tokens[static_cast<size_t>(exchange.rank())]), IsOk());
  });
  int64_t sent = 0;
  int64_t least = 0;
  for (const auto& exchange : exchanges) {
    sent += exchange->counters().bytes_sent;
    least += exchange->counters().bytes_least;
  }
  int64_t rows = 0;
  for (int32_t rank = 0; rank < 4; ++rank) {
    for (int32_t t = 0; t < 32; ++t) {
      std::set<int32_t> others;
      for (int32_t i = 0; i < 8; ++i) {
        const int32_t owner = tokens[static_cast<size_t>(rank)].experts[static_cast<size_t>(8 * t + i)] / 8;
        if (owner == rank) continue;
        others.insert(owner);
        ++rows;
      }
      rows += static_cast<int64_t>(others.size());
    }
  }
  EXPECT_EQ(least, rows * 2048);
  const double ratio = static_cast<double>(sent) / static_cast<double>(least);
  std::cout << absl::StrFormat("%s: %.0f bytes a token, the least is %.0f: ratio %.4f\n", NameOf(GetParam()),
                               static_cast<double>(sent) / 128, static_cast<double>(least) / 128, ratio);
  EXPECT_GE(ratio, 1.0);
  EXPECT_LT(ratio, 1.01);
}

TEST_P(ExchangeTest, AllRanksSeeTheNumbersOfAll) {
  auto exchanges = ConnectGroup(ConfigOf(4), GetParam());
  constexpr size_t kSize = 30'000;  // more than one message
  RunRanks(exchanges, [&](ExpertExchange& exchange) {
    ASSERT_THAT(exchange.BeginStep(1, std::vector<int32_t>(4, 0)), IsOk());
    for (const size_t size : {size_t{0}, size_t{1}, kSize}) {
      std::vector<int64_t> mine(size);
      for (size_t i = 0; i < size; ++i) mine[i] = static_cast<int64_t>(i) * 10 + exchange.rank();
      std::vector<int64_t> all(4 * size);
      ASSERT_THAT(exchange.AllGather(mine, all), IsOk());
      for (size_t i = 0; i < all.size(); ++i) {
        ASSERT_EQ(all[i], static_cast<int64_t>(i % size * 10 + i / size)) << "number " << i;
      }
    }
    EXPECT_THAT(RunMoeLayer(exchange, ExpertMap::Even(16, 4), {}), IsOk()) << "layers go on after it";
  });
}

TEST_P(ExchangeTest, AnAbortEndsTheCallsOfEveryRank) {
  const ExchangeConfig config = ConfigOf(4);
  auto exchanges = ConnectGroup(config, GetParam());
  // All before any thread starts: a rank that begins after the abort may be told there already.
  for (auto& exchange : exchanges) ASSERT_THAT(exchange->BeginStep(6, std::vector<int32_t>(4, 0)), IsOk());
  RunRanks(exchanges, [&](ExpertExchange& exchange) {
    if (exchange.rank() == 2) {
      exchange.Abort(absl::InternalError("rank 2 failed in step 6: device lost"));
      EXPECT_THAT(RunMoeLayer(exchange, ExpertMap::Even(16, 4), {}).status(),
                  StatusIs(absl::StatusCode::kInternal, HasSubstr("device lost")));
      return;
    }
    // By shared memory they learn why, by TCP that the rank is lost, or a rank that left for that reason.
    const absl::Status status = RunMoeLayer(exchange, ExpertMap::Even(16, 4), {}).status();
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(absl::StrFormat("rank %d, step 6, call 0 (dispatch)", exchange.rank())),
                      AnyOf(HasSubstr("device lost"), HasSubstr("lost rank"))));
    EXPECT_THAT(exchange.BeginStep(7, std::vector<int32_t>(4, 0)), testing::Not(IsOk()))
        << "a broken group stays broken";
  });
}

TEST_P(ExchangeTest, ARankThatDoesNotComeIsNamed) {
  auto exchanges = ConnectGroup(ConfigOf(2), GetParam(), absl::Milliseconds(50));
  ASSERT_THAT(exchanges[0]->BeginStep(6, std::vector<int32_t>{0, 0}), IsOk());
  EXPECT_THAT(RunMoeLayer(*exchanges[0], ExpertMap::Even(16, 2), {}).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       AllOf(HasSubstr("rank 0, step 6, call 0 (dispatch)"), HasSubstr("rank 1 did not come"))));
}

TEST_P(ExchangeTest, RanksAtDifferentStepsStopTheGroup) {
  auto exchanges = ConnectGroup(ConfigOf(2), GetParam());
  RunRanks(exchanges, [&](ExpertExchange& exchange) {
    ASSERT_THAT(exchange.BeginStep(7 + exchange.rank(), std::vector<int32_t>{0, 0}), IsOk());
    const absl::Status status = RunMoeLayer(exchange, ExpertMap::Even(16, 2), {}).status();
    EXPECT_THAT(std::string(status.message()), AnyOf(HasSubstr("have lost each other"), HasSubstr("lost rank")));
  });
}

TEST_P(ExchangeTest, RefusesMoreTokensThanPlanned) {
  const ExchangeConfig config = ConfigOf(1);
  auto exchanges = ConnectGroup(config, GetParam());
  ASSERT_THAT(exchanges[0]->BeginStep(4, std::vector<int32_t>{1}), IsOk());
  EXPECT_THAT(RunMoeLayer(*exchanges[0], ExpertMap::Even(16, 1), MakeRoutedTokens(config, 2, 1)).status(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("2 tokens dispatched, the plan has 1")));
}

TEST_P(ExchangeTest, RefusesAPlanForAnotherNumberOfRanks) {
  auto exchanges = ConnectGroup(ConfigOf(2), GetParam());
  EXPECT_THAT(exchanges[1]->BeginStep(9, std::vector<int32_t>{1}),
              StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("rank 1"), HasSubstr("step 9"))));
}

TEST(ExchangeConfigTest, RefusesSizesThatCannotBe) {
  const auto changed = [](auto change) {
    ExchangeConfig config = ConfigOf(4);
    change(config);
    return Validate(config);
  };
  using C = ExchangeConfig;
  EXPECT_THAT(changed([](C&) {}), IsOk());
  EXPECT_THAT(changed([](C& c) { c.num_ranks = 3; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 ranks")));
  EXPECT_THAT(changed([](C& c) { c.num_slots = 15; }), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("15")));
  EXPECT_THAT(changed([](C& c) { c.num_slots = 18; }), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("18")));
  EXPECT_THAT(changed([](C& c) { c.hidden_size = 0; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hidden_size 0")));
  EXPECT_THAT(changed([](C& c) { c.num_slots = 1 << 20; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("262144 experts a rank")));
  EXPECT_THAT(changed([](C& c) { c.wire = DType::kF16; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("BF16")));
}

}  // namespace
}  // namespace tessera
