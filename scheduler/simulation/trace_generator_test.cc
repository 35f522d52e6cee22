#include "scheduler/simulation/trace_generator.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/simulation/trace_file.h"

namespace tessera {
namespace {

std::string Text(const Trace& trace) {
  std::ostringstream out;
  WriteTrace(trace, out);
  return out.str();
}

TEST(TraceGeneratorTest, TheSameSeedGivesTheSameTraceAndAnotherAnother) {
  const TraceRecipe recipe = {.num_requests = 50, .prefix_share = 0.5, .client_weights = {3, 1}, .cancel_share = 0.2};
  TraceRecipe other = recipe;
  other.seed = 2;
  EXPECT_EQ(Text(GenerateTrace(recipe)), Text(GenerateTrace(recipe)));
  EXPECT_NE(Text(GenerateTrace(recipe)), Text(GenerateTrace(other)));
}

TEST(TraceGeneratorTest, KeepsRatesSharesAndBounds) {
  const TraceRecipe recipe = {.num_requests = 20'000,
                              .requests_per_second = 50,
                              .prompt = {LengthDistribution::Kind::kExponential, 1000},
                              .output = {LengthDistribution::Kind::kUniform, 10, 20},
                              .context_tokens_max = 4096,
                              .prefix_share = 0.25,
                              .num_prefixes = 4,
                              .prefix_tokens = 300,
                              .client_weights = {9, 1}};
  const Trace trace = GenerateTrace(recipe);
  std::map<int64_t, int> prefixes;
  std::map<int32_t, int> clients;
  double prompt_tokens = 0;
  absl::Duration last;
  for (const TraceRequest& request : trace.requests) {
    EXPECT_GE(request.arrival, last);
    last = request.arrival;
    EXPECT_GE(request.prompt_tokens, 1);
    EXPECT_GE(request.output_tokens, 1);
    EXPECT_LE(request.output_tokens, 20);
    EXPECT_LE(request.prompt_tokens + request.max_tokens, 4096);
    EXPECT_LE(request.prefix_tokens, request.prompt_tokens);
    EXPECT_EQ(request.prefix_tokens > 0, request.prefix >= 0);
    ++prefixes[request.prefix];
    ++clients[request.client];
    prompt_tokens += request.prompt_tokens - request.prefix_tokens;
  }
  EXPECT_NEAR(absl::ToDoubleSeconds(last), 400, 10);
  EXPECT_NEAR(prompt_tokens / 20'000, 980, 20);  // the longest are cut
  EXPECT_NEAR(prefixes[-1], 15'000, 300);
  for (int64_t prefix = 0; prefix < 4; ++prefix) EXPECT_NEAR(prefixes[prefix], 1250, 150);
  EXPECT_NEAR(clients[1], 2000, 200);
}

TEST(TraceGeneratorTest, RefusesWhatMakesNoTrace) {
  EXPECT_THAT(Validate({.num_requests = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("requests: got 0")));
  EXPECT_FALSE(Validate({.requests_per_second = std::nan("")}).ok());
  EXPECT_FALSE(Validate({.context_tokens_max = 2}).ok());
  EXPECT_FALSE(Validate({.prefix_share = 1.5}).ok());
  EXPECT_FALSE(Validate({.client_weights = {}}).ok());
  EXPECT_FALSE(Validate({.client_weights = {1, 0}}).ok());
}

TEST(LengthDistributionTest, ReadsEachKind) {
  Draws draws(1);
  EXPECT_EQ(ParseLengthDistribution("512")->Draw(draws, 1000), 512);
  EXPECT_EQ(ParseLengthDistribution("512")->Draw(draws, 100), 100);
  EXPECT_EQ(ParseLengthDistribution("uniform:7:7")->Draw(draws, 100), 7);
  EXPECT_EQ(ParseLengthDistribution("lognormal:400:0")->Draw(draws, 1000), 400);
  const absl::StatusOr<LengthDistribution> exponential = ParseLengthDistribution("exponential:300");
  ASSERT_TRUE(exponential.ok());
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) sum += exponential->Draw(draws, 1'000'000);
  EXPECT_NEAR(sum / 10'000, 300, 10);
}

TEST(LengthDistributionTest, RefusesAnythingElse) {
  for (const char* wrong : {"", "0", "-1", "nan", "1e99", "uniform:5", "uniform:5:4", "uniform:a:b", "lognormal:10:-1",
                            "exponential:", "normal:1:2", "1:2:3:4"}) {
    EXPECT_THAT(ParseLengthDistribution(wrong).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("lognormal:MEDIAN:SIGMA")))
        << wrong;
  }
}

}  // namespace
}  // namespace tessera
