// Ranks as real processes: the results are those of one rank, and one that dies or freezes ends the others' calls in
// time with an error that names it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <memory>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "worker/exchange/testing/exchange_driver.h"
#include "worker/exchange/testing/file_store.h"
#include "worker/exchange/testing/rank_process.h"
#include "worker/exchange/testing/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Optional;

// Long enough for a loaded machine, far shorter than the calls' own limit where that is not what ends them.
constexpr absl::Duration kSoon = absl::Seconds(20);
constexpr absl::Duration kNever = absl::Minutes(10);

ExchangeConfig ConfigOf(int32_t num_ranks) {
  return {.num_ranks = num_ranks,
          .n_routed_experts = 16,
          .num_experts_per_tok = 4,
          .hidden_size = 4096,  // messages of megabytes, so that some are cut in the middle
          .step_tokens_max = 64,
          .wire = DType::kBF16};
}

// Runs steps until one fails, and says "step 1" after the first, then the error. Rank `silent` says "waiting" instead
// of running step 2 and waits to be killed.
void RunSteps(const ExchangeConfig& config, const ProcessExchangeOptions& options, RendezvousStore& store,
              int32_t silent, const RankProcess::Say& say) {
  auto exchange = ProcessExchange::Create(config, options);
  absl::Status status = exchange.ok() ? (*exchange)->Connect(store) : exchange.status();
  const ExpertMap map = ExpertMap::Even(config.n_routed_experts, config.num_ranks);
  const RoutedTokens tokens = MakeRoutedTokens(config, config.step_tokens_max, static_cast<uint32_t>(options.rank));
  const std::vector<int32_t> counts(static_cast<size_t>(config.num_ranks), config.step_tokens_max);
  for (int64_t step = 1; status.ok(); ++step) {
    status = (*exchange)->BeginStep(step, counts);
    if (status.ok()) status = RunMoeLayer(**exchange, map, tokens).status();
    if (step == 1 && status.ok()) say("step 1");
    if (options.rank == silent) {
      say("waiting");
      while (true) ::pause();
    }
  }
  say(status.ToString());
}

class RankFailureTest : public testing::TestWithParam<Transport> {
 protected:
  void Start(int32_t num_ranks, absl::Duration call_timeout, int32_t silent = -1) {
    for (int32_t rank = 0; rank < num_ranks; ++rank) {
      ranks_.push_back(std::make_unique<RankProcess>([&](const RankProcess::Say& say) {
        FileStore store(folder_.path());
        RunSteps(ConfigOf(num_ranks), OptionsOf(GetParam(), rank, num_ranks, call_timeout), store, silent, say);
      }));
    }
    for (const auto& rank : ranks_) ASSERT_THAT(rank->NextLine(absl::Minutes(1)), Optional(std::string("step 1")));
  }

  const TemporaryFolder folder_;
  std::vector<std::unique_ptr<RankProcess>> ranks_;
};

TEST_P(RankFailureTest, ARankKilledAmongItsCallsEndsThoseOfTheOthers) {
  Start(4, kNever);
  ranks_[2]->Signal(SIGKILL);
  const absl::Time killed = absl::Now();
  for (const int rank : {0, 1, 3}) {
    EXPECT_THAT(ranks_[static_cast<size_t>(rank)]->NextLine(kSoon),
                Optional(AllOf(HasSubstr("UNAVAILABLE"), HasSubstr(absl::StrCat("rank ", rank, ", step ")),
                               HasSubstr("lost rank"))));
  }
  std::cout << NameOf(GetParam()) << ": all ranks knew after " << absl::FormatDuration(absl::Now() - killed) << "\n";
}

TEST_P(RankFailureTest, ARankKilledWhileTheOthersWaitForItEndsTheWait) {
  Start(4, kNever, /*silent=*/1);
  ASSERT_THAT(ranks_[1]->NextLine(absl::Minutes(1)), Optional(std::string("waiting")));
  ranks_[1]->Signal(SIGKILL);
  for (const int rank : {0, 2, 3}) {
    EXPECT_THAT(
        ranks_[static_cast<size_t>(rank)]->NextLine(kSoon),
        Optional(AllOf(HasSubstr(absl::StrCat("rank ", rank, ", step 2, call 0 (dispatch)")), HasSubstr("lost rank"))));
  }
}

TEST_P(RankFailureTest, ARankThatFreezesIsNamedAfterTheTimeout) {
  Start(4, absl::Seconds(3));
  ranks_[0]->Signal(SIGSTOP);
  const auto first = ranks_[1]->NextLine(kSoon);
  const auto second = ranks_[2]->NextLine(kSoon);
  ASSERT_TRUE(first.has_value() && second.has_value());
  const auto third = ranks_[3]->NextLine(kSoon);
  ASSERT_TRUE(third.has_value());
  // The first to lose patience names the frozen rank; its leaving is what the others may see.
  EXPECT_THAT(*first + *second + *third, AllOf(HasSubstr("DEADLINE_EXCEEDED"), HasSubstr("rank 0 did not")));
}

TEST_P(RankFailureTest, AShortFreezeHarmsNobody) {
  Start(2, kNever);
  ranks_[1]->Signal(SIGSTOP);
  EXPECT_EQ(ranks_[0]->NextLine(absl::Milliseconds(300)), std::nullopt);
  ranks_[1]->Signal(SIGCONT);
  EXPECT_EQ(ranks_[0]->NextLine(absl::Milliseconds(100)), std::nullopt) << "the group must go on";
}

class RankProcessesTest : public testing::TestWithParam<std::tuple<Transport, int32_t>> {};

TEST_P(RankProcessesTest, GiveTheResultsOfOneRank) {
  const auto [transport, num_ranks] = GetParam();
  ExchangeConfig config = ConfigOf(num_ranks);
  config.hidden_size = 64;
  const TemporaryFolder folder;
  std::vector<std::unique_ptr<RankProcess>> ranks;
  for (int32_t rank = 0; rank < num_ranks; ++rank) {
    ranks.push_back(std::make_unique<RankProcess>([&, rank, count = num_ranks, how = transport](const auto& say) {
      FileStore store(folder.path());
      auto exchange = ProcessExchange::Create(config, OptionsOf(how, rank, count, kNever));
      TESSERA_CHECK_OK(exchange.status());
      TESSERA_CHECK_OK((*exchange)->Connect(store));
      const ExpertMap map = ExpertMap::Even(config.n_routed_experts, count);
      int num_equal = 0;
      for (int32_t step = 1; step <= 10; ++step) {
        const std::vector<int32_t> counts(static_cast<size_t>(count), config.step_tokens_max);
        TESSERA_CHECK_OK((*exchange)->BeginStep(step, counts));
        const RoutedTokens tokens =
            MakeRoutedTokens(config, (7 * step + 11 * rank) % 64, static_cast<uint32_t>(step * 100 + rank));
        const auto got = RunMoeLayer(**exchange, map, tokens);
        TESSERA_CHECK_OK(got.status());
        num_equal += *got == RunMoeLayerAlone(config, tokens) ? 1 : 0;
      }
      say(absl::StrFormat("%d of 10 steps are equal", num_equal));
      while (true) ::pause();  // the others may still read from it
    }));
  }
  for (const auto& rank : ranks) {
    EXPECT_THAT(rank->NextLine(absl::Minutes(2)), Optional(std::string("10 of 10 steps are equal")));
  }
}

const auto kTransports = testing::Values(Transport::kSharedMemory, Transport::kTcp, Transport::kTwoHosts);
INSTANTIATE_TEST_SUITE_P(Transports, RankFailureTest, kTransports, [](const auto& test) { return NameOf(test.param); });
INSTANTIATE_TEST_SUITE_P(Groups, RankProcessesTest, testing::Combine(kTransports, testing::Values(2, 8)),
                         [](const auto& test) {
                           return absl::StrFormat("%s%dRanks", NameOf(std::get<0>(test.param)),
                                                  std::get<1>(test.param));
                         });

}  // namespace
}  // namespace tessera
