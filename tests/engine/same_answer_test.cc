// Cases 22, 23, 35, 37: the same-answer check. Each request is run alone on one rank with nothing shared; every other
// way to run it must give the same tokens and bit-equal log probabilities.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/engine_loop.h"
#include "scheduler/testing/recording_sink.h"
#include "worker/model/testing/test_rank.h"
#include "worker/testing/draftable_checkpoint.h"
#include "worker/testing/test_group.h"

namespace tessera {
namespace {

// Prompts of which most share their first 150 tokens (two full blocks of 64), in all ways of sampling.
std::vector<Request> Requests() {
  std::vector<Request> requests;
  for (int64_t id = 0; id < 8; ++id) {
    Request request{.id = {id}, .max_tokens = 90};
    const int64_t num_tokens = id == 7 ? 70 : 150 + id * 6;
    for (int64_t i = 0; i < num_tokens; ++i) {
      const int64_t own = i < 150 && id != 7 ? 0 : id;
      request.prompt.push_back(static_cast<TokenId>((31 * i + 17 * own + i * i) % 120 + 3));
    }
    request.sampling.temperature = id % 2 == 0 ? 0.F : 1.F;
    request.sampling.seed = static_cast<uint64_t>(id);
    request.sampling.num_logprobs = 2;
    if (id % 3 == 0) request.sampling.frequency_penalty = 0.5F;
    if (id == 4) request.sampling.repetition_penalty = 1.3F;
    if (id == 6) request.sampling.num_prompt_logprobs = 1;
    requests.push_back(std::move(request));
  }
  requests.push_back(requests[1]);  // the same seed twice, and another seed
  requests.push_back(requests[1]);
  requests[8].id = {8};
  requests[9].id = {9};
  requests[9].sampling.seed = 77;
  return requests;
}

struct Layout {
  std::string name;
  EngineConfig config;
  int32_t num_ranks = 1;
  int32_t num_blocks = 40;
  int32_t draft_tokens = 0;
  bool one_by_one = false;
  int num_rounds = 1;  // the requests come so many times, one round after the other
};

struct Outcome {
  std::vector<RequestTokens> answers;  // of all rounds
  EngineStatus status;
};

Outcome RunAll(const Checkpoint& checkpoint, const Layout& layout) {
  const RealClock clock;
  WorkerGroupOptions options = TestGroupOptions(layout.num_ranks);
  options.num_blocks = layout.num_blocks;
  options.draft_tokens = layout.draft_tokens;
  const auto group = MakeTestGroup(checkpoint, options, clock);
  RecordingSink sink;
  EngineLoop loop(layout.config, clock, *group, sink);
  const std::vector<Request> requests = Requests();
  const auto run = [&] {
    while (loop.RunOneStep()) continue;
  };
  Outcome outcome;
  int64_t next_id = 0;
  for (int round = 0; round < layout.num_rounds; ++round) {
    const int64_t first_id = next_id;
    for (Request request : requests) {
      request.id = {next_id++};
      TESSERA_CHECK_OK(loop.Submit(std::move(request)));
      if (layout.one_by_one) run();
    }
    run();
    for (int64_t id = first_id; id < next_id; ++id) outcome.answers.push_back(sink.Of(id));
  }
  outcome.status = loop.Status();
  EXPECT_EQ(outcome.status.num_blocks_used, 0);
  return outcome;
}

bool Same(const TokenLogprob& a, const TokenLogprob& b) { return a.token == b.token && a.logprob == b.logprob; }

bool Same(const std::vector<PositionLogprobs>& a, const std::vector<PositionLogprobs>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const PositionLogprobs& x, const PositionLogprobs& y) {
    return Same(x.token, y.token) && std::equal(x.top.begin(), x.top.end(), y.top.begin(), y.top.end(),
                                                [](const auto& s, const auto& t) { return Same(s, t); });
  });
}

class SameAnswerTest : public testing::TestWithParam<Layout> {
 protected:
  const std::unique_ptr<Checkpoint> original_ = OpenOrDie("tests/golden/model/v3");
  const std::unique_ptr<Checkpoint> checkpoint_ = MakeDraftable(*original_);
};

TEST_P(SameAnswerTest, AsAloneOnOneRankWithNothingShared) {
  static const auto& alone = *new Outcome(
      RunAll(*checkpoint_, {.config = {.draft_tokens = 0, .has_prefix_cache = false}, .one_by_one = true}));
  const Layout& layout = GetParam();
  const Outcome outcome = RunAll(*checkpoint_, layout);
  for (size_t i = 0; i < outcome.answers.size(); ++i) {
    const RequestTokens& got = outcome.answers[i];
    const RequestTokens& wanted = alone.answers[i % alone.answers.size()];
    EXPECT_EQ(got.finish, FinishReason::kLength) << got.status.ToString();
    EXPECT_EQ(got.tokens, wanted.tokens) << "request " << i;
    EXPECT_TRUE(Same(got.logprobs, wanted.logprobs)) << "request " << i;
    EXPECT_TRUE(Same(got.prompt_logprobs, wanted.prompt_logprobs)) << "request " << i;
  }
  EXPECT_EQ(alone.answers[8].tokens, alone.answers[1].tokens) << "the same seed";
  EXPECT_NE(alone.answers[9].tokens, alone.answers[1].tokens) << "another seed";
  EXPECT_EQ(outcome.status.num_prefix_cache_hits > 0, layout.config.has_prefix_cache);
  if (layout.num_blocks < 20) {
    EXPECT_GT(outcome.status.num_preemptions, 0);
  }
  if (layout.draft_tokens > 0) {
    EXPECT_GT(outcome.status.num_accepted_by_position[0], 0);
    EXPECT_LT(outcome.status.num_accepted_by_position[0], outcome.status.num_drafts);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, SameAnswerTest,
    testing::Values(Layout{.name = "Together", .config = {.has_prefix_cache = false}},
                    Layout{.name = "ColdThenWarm", .num_rounds = 2}, Layout{.name = "OneByOneWarm", .one_by_one = true},
                    Layout{.name = "ChunksOf16", .config = {.prefill_chunk_tokens_max = 16}},
                    Layout{.name = "TwoRanks", .num_ranks = 2, .num_rounds = 2},
                    Layout{.name = "FourRanks", .num_ranks = 4},
                    Layout{.name = "Preempted", .num_blocks = 12, .num_rounds = 2},
                    Layout{.name = "OneDraftInChunks",
                           .config = {.prefill_chunk_tokens_max = 16, .adapts_drafts = false},
                           .draft_tokens = 1,
                           .num_rounds = 2},
                    Layout{.name = "FourDraftsOnFourRanks",
                           .config = {.adapts_drafts = false},
                           .num_ranks = 4,
                           .draft_tokens = 4,
                           .num_rounds = 2},
                    Layout{.name = "DraftsWhenTheyPay", .draft_tokens = 3, .num_rounds = 2},
                    Layout{.name = "KeysOfFourBits", .config = {.prefix_cache_key_bits = 4}, .num_rounds = 2}),
    [](const auto& test_info) { return test_info.param.name; });

}  // namespace
}  // namespace tessera
