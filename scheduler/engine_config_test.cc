#include "scheduler/engine_config.h"

#include <functional>
#include <limits>
#include <string>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::HasSubstr;

constexpr WorkerLimits kLimits = {.num_ranks = 2,
                                  .num_blocks = 100,
                                  .block_tokens = 64,
                                  .step_tokens_max = 256,
                                  .sequences_max = 512,
                                  .context_tokens_max = 4096,
                                  .vocab_size = 1000,
                                  .draft_tokens_max = 2};

TEST(EngineConfigTest, AcceptsTheDefaultsAndFillsThemFromTheWorker) {
  ASSERT_THAT(Validate(EngineConfig{}, kLimits), IsOk());
  const RankPolicy policy = ToRankPolicy({}, kLimits);
  EXPECT_EQ(policy.step_tokens_max, 256);
  EXPECT_EQ(policy.prefill_chunk_tokens_max, 256);
  EXPECT_EQ(policy.running_max, 256) << "not more than can decode in one step";
  EXPECT_EQ(policy.free_blocks_min, 1);
  ASSERT_TRUE(policy.block_keys.has_value());
  EXPECT_EQ(policy.block_keys->block_tokens, 64);
  EXPECT_EQ(ToDraftTokens({}, kLimits), 2);
  EXPECT_EQ(ToDraftTokens({.draft_tokens = 0}, kLimits), 0);
  EXPECT_FALSE(ToRankPolicy({.has_prefix_cache = false}, kLimits).block_keys.has_value());
}

struct Refusal {
  std::string name;
  std::function<void(EngineConfig&, WorkerLimits&)> spoil;
  std::string message;
};

class EngineConfigRefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(EngineConfigRefusalTest, NamesTheField) {
  EngineConfig config;
  WorkerLimits limits = kLimits;
  GetParam().spoil(config, limits);
  EXPECT_THAT(Validate(config, limits), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, EngineConfigRefusalTest,
    testing::Values(
        Refusal{"Queue", [](auto& c, auto&) { c.queue_requests_max = 0; }, "queue_requests_max: got 0, wanted 1"},
        Refusal{"QueueTokens", [](auto& c, auto&) { c.queue_tokens_max = 0; }, "queue_tokens_max: got 0"},
        Refusal{"Budget", [](auto& c, auto&) { c.step_tokens_max = 257; }, "step_tokens_max: got 257, wanted 0 to 256"},
        Refusal{"Chunk", [](auto& c, auto&) { c.prefill_chunk_tokens_max = -1; }, "prefill_chunk_tokens_max: got -1"},
        Refusal{"Running", [](auto& c, auto&) { c.running_max = 513; }, "running_max: got 513, wanted 0 to 512"},
        Refusal{"Preemptions", [](auto& c, auto&) { c.preemptions_max = -1; }, "preemptions_max: got -1"},
        Refusal{"FreeBlocks", [](auto& c, auto&) { c.free_blocks_min_fraction = 1; }, "fraction: got 1"},
        Refusal{"FreeBlocksNaN",
                [](auto& c, auto&) { c.free_blocks_min_fraction = std::numeric_limits<double>::quiet_NaN(); },
                "fraction: got nan"},
        Refusal{"Drafts", [](auto& c, auto& l) { c.draft_tokens = l.draft_tokens_max + 1; }, "draft_tokens: got 3"},
        Refusal{"WorkersDrafts", [](auto&, auto& l) { l.draft_tokens_max = 5; },
                "draft_tokens_max: got 5, wanted 0 to 4"},
        Refusal{"KeyBits", [](auto& c, auto&) { c.prefix_cache_key_bits = 0; }, "prefix_cache_key_bits: got 0"},
        Refusal{"NoRank", [](auto&, auto& l) { l.num_ranks = 0; }, "num_ranks: got 0"},
        Refusal{"NoBlock", [](auto&, auto& l) { l.num_blocks = 0; }, "num_blocks: got 0"},
        Refusal{"NoContext", [](auto&, auto& l) { l.context_tokens_max = 1; }, "context_tokens_max: got 1, wanted 2"}),
    [](const auto& test_info) { return test_info.param.name; });

struct Fit {
  std::string name;
  size_t num_prompt;
  int32_t max_tokens;
  int32_t num_blocks;   // of a rank, each of 64 tokens
  std::string refusal;  // empty: it fits
};

class FitTest : public testing::TestWithParam<Fit> {};

TEST_P(FitTest, ComparesPromptAndMaxTokensWithContextAndCache) {
  WorkerLimits limits = kLimits;
  limits.num_blocks = GetParam().num_blocks;
  const Request request{.prompt = std::vector<TokenId>(GetParam().num_prompt, 1), .max_tokens = GetParam().max_tokens};
  if (GetParam().refusal.empty()) {
    EXPECT_THAT(CheckFits(request, limits), IsOk());
  } else {
    EXPECT_THAT(CheckFits(request, limits), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr(GetParam().refusal)));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Edges, FitTest,
    testing::Values(Fit{"TwoLeft", 4094, 2, 100, ""}, Fit{"OneLeft", 4095, 1, 100, ""},
                    Fit{"OneLeftTwoAsked", 4095, 2, 100,
                        "the prompt's 4095 tokens and max_tokens 2 make 4097 tokens, the model's context holds 4096"},
                    Fit{"NoneLeft", 4096, 1, 100, "4096 tokens and max_tokens 1 make 4097 tokens"},
                    Fit{"TooLong", 4097, 1, 100, "4097 tokens and max_tokens 1 make 4098 tokens"},
                    Fit{"LargestCap", 10, std::numeric_limits<int32_t>::max(), 100,
                        "max_tokens 2147483647 make 2147483657 tokens"},
                    Fit{"CacheFull", 100, 28, 2, ""},
                    Fit{"CacheTooSmall", 100, 29, 2, "need 3 cache blocks of 64 tokens, a rank has 2 (128 tokens)"}),
    [](const auto& test_info) { return test_info.param.name; });

}  // namespace
}  // namespace tessera
