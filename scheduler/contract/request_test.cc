#include "scheduler/contract/request.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::HasSubstr;

constexpr int32_t kVocabSize = 100;

Request Good() { return Request{.id = {1}, .prompt = {1, 2, 3}, .max_tokens = 5}; }

TEST(RequestTest, AcceptsTheDefaults) { EXPECT_THAT(Validate(Good(), kVocabSize), IsOk()); }

struct Refusal {
  std::string name;
  std::function<void(Request&)> spoil;
  std::string message;
};

class RequestRefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(RequestRefusalTest, NamesTheField) {
  Request request = Good();
  GetParam().spoil(request);
  EXPECT_THAT(Validate(request, kVocabSize),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

const float kNaN = std::numeric_limits<float>::quiet_NaN();
const float kInfinity = std::numeric_limits<float>::infinity();

INSTANTIATE_TEST_SUITE_P(
    Fields, RequestRefusalTest,
    testing::Values(
        Refusal{"EmptyPrompt", [](Request& r) { r.prompt.clear(); }, "prompt: got no token"},
        Refusal{"PromptTokenTooLarge", [](Request& r) { r.prompt[1] = 100; },
                "prompt[1]: got token id 100, wanted 0 to 99"},
        Refusal{"PromptTokenNegative", [](Request& r) { r.prompt[0] = -1; }, "prompt[0]: got token id -1"},
        Refusal{"GeneratedTokenTooLarge", [](Request& r) { r.generated = {100}; }, "generated[0]"},
        Refusal{"AllGenerated",
                [](Request& r) {
                  r.generated = {1, 1, 1, 1, 1};
                },
                "wanted less than max_tokens (5)"},
        Refusal{"StopTokenTooLarge",
                [](Request& r) {
                  r.stop_tokens = {5, 1000};
                },
                "stop_tokens[1]"},
        Refusal{"NoMaxTokens", [](Request& r) { r.max_tokens = 0; }, "max_tokens: got 0"},
        Refusal{"MinAboveMax", [](Request& r) { r.min_tokens = 6; }, "min_tokens: got 6, wanted 0 to max_tokens (5)"},
        Refusal{"TemperatureNaN", [](Request& r) { r.sampling.temperature = kNaN; }, "temperature: got nan"},
        Refusal{"TemperatureNegative", [](Request& r) { r.sampling.temperature = -1; }, "temperature: got -1"},
        Refusal{"TopKNegative", [](Request& r) { r.sampling.top_k = -1; }, "top_k: got -1"},
        Refusal{"TopPZero", [](Request& r) { r.sampling.top_p = 0; }, "top_p: got 0"},
        Refusal{"TopPNaN", [](Request& r) { r.sampling.top_p = kNaN; }, "top_p: got nan"},
        Refusal{"MinPOne", [](Request& r) { r.sampling.min_p = 1; }, "min_p: got 1"},
        Refusal{"RepetitionZero", [](Request& r) { r.sampling.repetition_penalty = 0; }, "repetition_penalty: got 0"},
        Refusal{"RepetitionInfinite", [](Request& r) { r.sampling.repetition_penalty = kInfinity; },
                "repetition_penalty"},
        Refusal{"FrequencyTooLarge", [](Request& r) { r.sampling.frequency_penalty = 2.5F; },
                "frequency_penalty: got 2.5"},
        Refusal{"PresenceNaN", [](Request& r) { r.sampling.presence_penalty = kNaN; }, "presence_penalty: got nan"},
        Refusal{"TooManyLogprobs", [](Request& r) { r.sampling.num_logprobs = 21; }, "logprobs: got 21"},
        Refusal{"TooManyPromptLogprobs", [](Request& r) { r.sampling.num_prompt_logprobs = 21; },
                "prompt_logprobs: got 21"},
        Refusal{"BiasTokenTooLarge",
                [](Request& r) {
                  r.sampling.logit_bias = {{100, 1.F}};
                },
                "logit_bias: got token id 100"},
        Refusal{"BiasTooLarge",
                [](Request& r) {
                  r.sampling.logit_bias = {{7, 101.F}};
                },
                "logit_bias[7]: got 101"},
        Refusal{"BiasTwice",
                [](Request& r) {
                  r.sampling.logit_bias = {{7, 1.F}, {7, 2.F}};
                },
                "given twice"}),
    [](const auto& test_info) { return test_info.param.name; });

}  // namespace
}  // namespace tessera
