#include "scheduler/remote/roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

wire::WorkerHello HelloOf(int32_t rank, int32_t num_ranks = 2) {
  return {.build = "0.1.0",
          .rank = rank,
          .num_ranks = num_ranks,
          .model_fingerprint = std::string(16, 'm'),
          .settings = {{"precision", "bf16"}},
          .limits = {.num_ranks = num_ranks,
                     .num_blocks = 100 - rank,
                     .block_tokens = 64,
                     .step_tokens_max = 128,
                     .sequences_max = 16,
                     .context_tokens_max = 1024,
                     .vocab_size = 1000}};
}

std::vector<std::string> Addresses(const std::vector<Roster::Call>& calls) {
  std::vector<std::string> addresses;
  for (const Roster::Call& call : calls) addresses.push_back(call.address);
  return addresses;
}

// Ticks until something is due; returns the ticks that took.
int TicksToDue(Roster& roster, std::vector<Roster::Call>& due) {
  for (int ticks = 0; ticks < 1000; ++ticks) {
    due = roster.TakeDue();
    if (!due.empty()) return ticks;
    roster.Tick();
  }
  return -1;
}

TEST(RosterTest, IsCompleteWhenEveryRankHasLoadedInWhateverOrderTheyCome) {
  Roster roster({.num_ranks = 2});
  roster.SetAddresses({"a:1", "b:1"});
  const std::vector<Roster::Call> calls = roster.TakeDue();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[1].rank, 1);
  EXPECT_THAT(roster.TakeDue(), IsEmpty());
  ASSERT_THAT(roster.OnHello(calls[1].slot, HelloOf(1)), IsOk());
  roster.OnHeartbeat(calls[1].slot, 5, 5, true);
  EXPECT_FALSE(roster.IsComplete());
  ASSERT_THAT(roster.OnHello(calls[0].slot, HelloOf(0)), IsOk());
  roster.OnHeartbeat(calls[0].slot, 1, 4, false);
  EXPECT_FALSE(roster.IsComplete());
  EXPECT_THAT(roster.Describe(),
              AllOf(HasSubstr("1 of 2 workers have loaded"), HasSubstr("rank 0 at a:1: loading, 25 %")));
  roster.OnHeartbeat(calls[0].slot, 4, 4, true);
  EXPECT_TRUE(roster.IsComplete());
  EXPECT_THAT(roster.ByRank(), ElementsAre(calls[0].slot, calls[1].slot));
  EXPECT_EQ(roster.Limits().num_blocks, 99) << "the fewest that one has";
}

TEST(RosterTest, WithoutOrderTheWorkersSayWhichRankTheyAre) {
  Roster roster({.num_ranks = 2, .order_is_rank = false});
  roster.SetAddresses({"a:1", "b:1"});
  const std::vector<Roster::Call> calls = roster.TakeDue();
  EXPECT_FALSE(calls[0].rank.has_value());
  ASSERT_THAT(roster.OnHello(calls[0].slot, HelloOf(1)), IsOk());
  EXPECT_THAT(roster.OnHello(calls[1].slot, HelloOf(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rank: got 1, which the worker at a:1 has")));
  roster.OnClosed(calls[1].slot);
  std::vector<Roster::Call> again;
  TicksToDue(roster, again);
  ASSERT_THAT(roster.OnHello(again.at(0).slot, HelloOf(0)), IsOk());
  for (const Roster::Call& call : calls) roster.OnHeartbeat(call.slot, 1, 1, true);
  EXPECT_THAT(roster.ByRank(), ElementsAre(calls[1].slot, calls[0].slot));
}

TEST(RosterTest, CallsAgainEverMoreSlowlyAndAHelloResetsThat) {
  Roster roster({.num_ranks = 1, .retry_ticks_min = 2, .retry_ticks_max = 8});
  roster.SetAddresses({"a:1"});
  std::vector<Roster::Call> due;
  EXPECT_EQ(TicksToDue(roster, due), 0);
  for (const int wanted : {2, 4, 8, 8}) {
    EXPECT_TRUE(roster.SetError(due[0].slot, absl::UnavailableError("refused")) == (wanted == 2))
        << "the same error is news once";
    roster.OnClosed(due[0].slot);
    EXPECT_EQ(TicksToDue(roster, due), wanted);
  }
  EXPECT_THAT(roster.Describe(), HasSubstr("rank 0 at a:1: refused"));
  ASSERT_THAT(roster.OnHello(due[0].slot, HelloOf(0, 1)), IsOk());
  roster.OnClosed(due[0].slot);
  EXPECT_EQ(TicksToDue(roster, due), 2);
}

TEST(RosterTest, NamesGoAndComeAsTheNameServerSays) {
  Roster roster({.num_ranks = 2, .order_is_rank = false});
  roster.SetFindError(absl::UnavailableError("workers: no such name"));
  EXPECT_THAT(roster.Describe(), HasSubstr("no such name"));
  roster.SetAddresses({"a:1"});
  EXPECT_THAT(roster.Describe(), HasSubstr("1 of 2 addresses are known"));
  const std::vector<Roster::Call> first = roster.TakeDue();
  EXPECT_THAT(Addresses(first), ElementsAre("a:1"));
  roster.SetAddresses({"b:1", "c:1"});
  EXPECT_THAT(Addresses(roster.TakeDue()), ElementsAre("b:1", "c:1"));
  roster.OnClosed(first[0].slot);
  for (int i = 0; i < 100; ++i) roster.Tick();
  EXPECT_THAT(roster.TakeDue(), IsEmpty()) << "nobody lists a:1 any more";
}

struct Misfit {
  std::string name;
  void (*change)(wire::WorkerHello&);
  std::string message;
};

class MisfitTest : public testing::TestWithParam<Misfit> {};

TEST_P(MisfitTest, IsRefusedAndSaysWhatDiffersFromWhom) {
  Roster roster({.num_ranks = 2});
  roster.SetAddresses({"a:1", "b:1"});
  const std::vector<Roster::Call> calls = roster.TakeDue();
  ASSERT_THAT(roster.OnHello(calls[0].slot, HelloOf(0)), IsOk());
  wire::WorkerHello hello = HelloOf(1);
  GetParam().change(hello);
  const absl::Status refused = roster.OnHello(calls[1].slot, hello);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(GetParam().message)));
  EXPECT_TRUE(roster.SetError(calls[1].slot, refused));
  EXPECT_FALSE(roster.SetError(calls[1].slot, absl::CancelledError("hung up"))) << "the first reason stays";
  EXPECT_THAT(roster.Describe(), AllOf(HasSubstr("rank 1 at b:1: "), HasSubstr(GetParam().message)));
  roster.OnHeartbeat(calls[1].slot, 1, 1, true);
  roster.OnHeartbeat(calls[0].slot, 1, 1, true);
  EXPECT_FALSE(roster.IsComplete());
}

INSTANTIATE_TEST_SUITE_P(
    Fields, MisfitTest,
    testing::Values(
        Misfit{"Ranks", [](auto& hello) { hello.num_ranks = 4; }, "ranks: got 4, wanted 2"},
        Misfit{"LimitsRanks", [](auto& hello) { hello.limits.num_ranks = 4; }, "limits.num_ranks: got 4"},
        Misfit{"Rank", [](auto& hello) { hello.rank = 0; }, "rank: got 0, wanted 1, its place in the list"},
        Misfit{"Build", [](auto& hello) { hello.build = "0.2.0"; }, "build: got 0.2.0, wanted 0.1.0 as rank 0 at a:1"},
        Misfit{"Model", [](auto& hello) { hello.model_fingerprint.back() = 'n'; },
               "model fingerprint: got 6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6e, wanted"},
        Misfit{"Setting", [](auto& hello) { hello.settings[0].value = "f32"; },
               "precision: got f32, wanted bf16 as rank 0 at a:1"},
        Misfit{"SettingMissing", [](auto& hello) { hello.settings.clear(); }, "precision: got nothing, wanted bf16"},
        Misfit{"OneSettingMore",
               [](auto& hello) {
                 hello.settings.push_back({"x", "y"});
               },
               "settings: got 2, wanted 1"},
        Misfit{"StepTokens", [](auto& hello) { hello.limits.step_tokens_max = 64; },
               "limits.step_tokens_max: got 64, wanted 128 as rank 0 at a:1"}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace tessera
