#include "server/session/request_builder.h"

#include <set>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/testing/fake_engine.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kContext = 100;

class RequestBuilderTest : public testing::Test {
 protected:
  absl::StatusOr<std::vector<Request>> Build(const GenerateRequest& request, size_t num_prompt_tokens,
                                             uint64_t random_seed = 1) const {
    if (absl::Status status = CheckRequest(request, config_); !status.ok()) return status;
    return BuildRequests(request, {std::vector<TokenId>(num_prompt_tokens, 7)}, config_, limits_, random_seed);
  }
  GenerateRequest Good() const { return {.prompts = {TextPrompt{"x"}}}; }

  ServiceConfig config_{.eos_tokens = {257}};
  EngineLimits limits_ = [] {
    EngineLimits limits = FakeEngine::DefaultLimits();
    limits.context_tokens_max = kContext;
    return limits;
  }();
};

struct EdgeCase {
  std::optional<int64_t> max_tokens;
  size_t num_prompt_tokens;
  int32_t want;  // max_tokens of the engine's request
};

TEST_F(RequestBuilderTest, CutsMaxTokensToWhatTheContextLeaves) {
  for (const auto& [max_tokens, num_prompt_tokens, want] : std::vector<EdgeCase>{
           {std::nullopt, kContext - 2, 2},
           {std::nullopt, kContext - 1, 1},
           {1, kContext - 2, 1},
           {1, kContext - 1, 1},
           {kContext, kContext - 2, 2},
           {kContext, kContext - 1, 1},
           {int64_t{1} << 31, 10, 90},
           {std::numeric_limits<int64_t>::max(), kContext - 1, 1},
           {5, 10, 5},
       }) {
    GenerateRequest request = Good();
    request.max_tokens = max_tokens;
    const auto built = Build(request, num_prompt_tokens);
    ASSERT_THAT(built, IsOk());
    EXPECT_EQ(built->front().max_tokens, want) << num_prompt_tokens << " tokens in the prompt";
  }
}

TEST_F(RequestBuilderTest, RefusesAPromptThatLeavesNoRoomWithTrueNumbers) {
  for (const size_t excess : {0U, 1U}) {
    EXPECT_THAT(
        Build(Good(), kContext + excess),
        StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("got " + std::to_string(kContext + excess) +
                                                          " tokens, wanted at most 99: the context length is 100")));
  }
}

TEST_F(RequestBuilderTest, FitsTheCacheOfOneRankToo) {
  limits_.cache_tokens_per_rank = 50;
  EXPECT_EQ(Build(Good(), 10)->front().max_tokens, 40);
  EXPECT_THAT(Build(Good(), 50), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("wanted at most 49")));
}

TEST_F(RequestBuilderTest, RefusesImpossibleLimits) {
  const auto refuse = [&](std::optional<int64_t> max_tokens, int64_t min_tokens, const char* message) {
    GenerateRequest request = Good();
    request.max_tokens = max_tokens;
    request.min_tokens = min_tokens;
    EXPECT_THAT(Build(request, 10).status().ToString(), HasSubstr(message));
  };
  refuse(-1, 0, "max_tokens: got -1, wanted at least 1");
  refuse(0, 0, "max_tokens: got 0, wanted at least 1");
  refuse(5, 6, "min_tokens: got 6, wanted at most max_tokens (5)");
  refuse(std::nullopt, -1, "min_tokens: got -1");
  refuse(std::nullopt, 91, "min_tokens: got 91, wanted at most 90");
}

TEST_F(RequestBuilderTest, TakesMaxTokensZeroWithEcho) {
  GenerateRequest request = Good();
  request.max_tokens = 0;
  request.echo = true;
  EXPECT_EQ(Build(request, 10)->front().max_tokens, 1);
}

TEST_F(RequestBuilderTest, RefusesTooManyChoicesAndUnknownModels) {
  GenerateRequest request = Good();
  request.n = 0;
  EXPECT_THAT(Build(request, 1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("n: got 0")));
  request.n = 129;
  EXPECT_THAT(Build(request, 1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("wanted at most 128")));
  request.n = 1;
  request.model = "other";
  EXPECT_THAT(Build(request, 1), StatusIs(absl::StatusCode::kNotFound, HasSubstr("model: got 'other'")));
}

TEST_F(RequestBuilderTest, RefusesWhatTheEngineContractRefuses) {
  GenerateRequest request = Good();
  request.sampling.top_p = 0.F;
  EXPECT_THAT(Build(request, 1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("top_p: got 0")));
}

std::vector<uint64_t> Seeds(const std::vector<Request>& requests) {
  std::vector<uint64_t> seeds;
  for (const Request& request : requests) seeds.push_back(request.sampling.seed);
  return seeds;
}

TEST_F(RequestBuilderTest, GivesEachChoiceItsOwnSeedThatDoesNotDependOnN) {
  GenerateRequest request = Good();
  for (const int64_t seed : {int64_t{0}, int64_t{7}, int64_t{-1}}) {
    request.sampling.seed = seed;
    request.n = 8;
    const std::vector<uint64_t> eight = Seeds(*Build(request, 3));
    EXPECT_EQ(std::set<uint64_t>(eight.begin(), eight.end()).size(), 8U);
    EXPECT_EQ(eight[0], static_cast<uint64_t>(seed));
    request.n = 3;
    EXPECT_THAT(Seeds(*Build(request, 3, /*random_seed=*/99)), ElementsAre(eight[0], eight[1], eight[2]));
  }
}

TEST_F(RequestBuilderTest, TakesTheRandomSeedOnlyWithoutASeed) {
  GenerateRequest request = Good();
  EXPECT_NE(Seeds(*Build(request, 3, 1)), Seeds(*Build(request, 3, 2)));
  request.sampling.seed = 5;
  EXPECT_EQ(Seeds(*Build(request, 3, 1)), Seeds(*Build(request, 3, 2)));
}

TEST_F(RequestBuilderTest, StopsAtTheEndOfSequenceUnlessItIsIgnored) {
  GenerateRequest request = Good();
  request.stop_token_ids = {5};
  EXPECT_THAT(Build(request, 3)->front().stop_tokens, ElementsAre(5, 257));
  request.ignore_eos = true;
  EXPECT_THAT(Build(request, 3)->front().stop_tokens, ElementsAre(5));
}

TEST_F(RequestBuilderTest, TakesTheServersDefaultsOnlyWhereTheRequestHasNone) {
  config_.default_temperature = 0.6F;
  config_.default_top_p = 0.95F;
  GenerateRequest request = Good();
  EXPECT_EQ(Build(request, 3)->front().sampling.temperature, 0.6F);
  EXPECT_EQ(Build(request, 3)->front().sampling.top_p, 0.95F);
  request.sampling.temperature = 0.F;
  EXPECT_EQ(Build(request, 3)->front().sampling.temperature, 0.F);
}

}  // namespace
}  // namespace tessera
