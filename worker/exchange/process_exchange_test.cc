#include "worker/exchange/process_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/status_matchers.h"
#include "worker/exchange/exchange_address.h"
#include "worker/exchange/host_record.h"
#include "worker/exchange/testing/file_store.h"
#include "worker/exchange/testing/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ExchangeConfig SmallConfig() {
  return {.num_ranks = 2, .n_routed_experts = 4, .num_experts_per_tok = 2, .hidden_size = 3, .step_tokens_max = 5};
}

TEST(ProcessExchangeTest, RefusesRanksOfAnotherConfig) {
  const TemporaryFolder folder;
  FileStore store(folder.path());
  ExchangeConfig other_config = SmallConfig();
  other_config.hidden_size = 4;
  const auto mine = ProcessExchange::Create(SmallConfig(), {.rank = 0, .address = "127.0.0.1"});
  const auto other = ProcessExchange::Create(other_config, {.rank = 1, .address = "127.0.0.1"});
  ASSERT_THAT(mine, IsOk());
  ASSERT_THAT(other, IsOk());
  std::thread thread([&] {
    EXPECT_THAT((*other)->Connect(store), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rank 0")));
  });
  EXPECT_THAT((*mine)->Connect(store),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("rank 1"), HasSubstr("hidden_size 4"), HasSubstr("hidden_size 3"))));
  thread.join();
}

TEST(ProcessExchangeTest, ARankThatDoesNotBeginIsNamed) {
  const TemporaryFolder folder;
  FileStore store(folder.path());
  const auto exchange = ProcessExchange::Create(
      SmallConfig(), {.rank = 0, .rendezvous_timeout = absl::Milliseconds(5), .address = "127.0.0.1"});
  ASSERT_THAT(exchange, IsOk());
  EXPECT_THAT((*exchange)->Connect(store),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("rank 0 waited for rank 1")));
}

TEST(ProcessExchangeTest, RefusesARankThatIsNotOfTheGroup) {
  EXPECT_THAT(ProcessExchange::Create(SmallConfig(), {.rank = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("got rank 2")));
}

TEST(ExchangeAddressTest, AnInterfaceThatIsNotThereIsAnErrorThatListsThose) {
  EXPECT_THAT(FindExchangeAddress("eth77"),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("'eth77'"), HasSubstr("lo (127.0.0.1)"))));
  EXPECT_THAT(FindExchangeAddress("192.0.2.1"),  // of a network for documentation: no host has it
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("192.0.2.1")));
}

TEST(ExchangeAddressTest, TakesAnInterfaceAnAddressOrANothingAtAll) {
  EXPECT_EQ(FindExchangeAddress("lo").value(), "127.0.0.1");
  EXPECT_EQ(FindExchangeAddress("127.0.0.1").value(), "127.0.0.1");
  EXPECT_EQ(FindExchangeAddress("localhost").value().substr(0, 4), "127.");
  EXPECT_THAT(FindExchangeAddress(""), IsOk());
}

TEST(HostRecordTest, ComesBackFromItsText) {
  const HostRecord record{.format = "version 1", .host = "a/b", .process = 7, .segment = 9};
  const auto parsed = ParseHostRecord(Encode(record));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->format, "version 1");
  EXPECT_EQ(parsed->host, "a/b");
  EXPECT_EQ(parsed->process, 7);
  EXPECT_EQ(parsed->segment, 9);
  for (const char* bad : {"", "a\nb\n7", "a\nb\nx\n9", "a\nb\n7\n9\n"})
    EXPECT_THAT(ParseHostRecord(bad), Not(IsOk())) << bad;
}

}  // namespace
}  // namespace tessera
