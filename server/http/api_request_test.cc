#include "server/http/api_request.h"

#include <string>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

// A chat body with one message and further fields.
std::string Chat(const std::string& fields) {
  return R"({"model":"m","messages":[{"role":"user","content":"hi"}])" + (fields.empty() ? "" : "," + fields) + "}";
}
std::string Completion(const std::string& fields) { return R"({"prompt":"hi",)" + fields + "}"; }

TEST(ApiRequestTest, ReadsEveryFieldOfAChat) {
  const auto parsed = ParseChatRequest(Chat(
      R"("temperature":0.5,"top_p":0.9,"top_k":7,"min_p":0.1,"repetition_penalty":1.1,"frequency_penalty":0.2,
         "presence_penalty":-0.3,"seed":-1,"logit_bias":{"5":-100,"7":1.5},"max_completion_tokens":9,"min_tokens":2,
         "stop":["a","b"],"stop_token_ids":[3],"ignore_eos":true,"n":2,"logprobs":true,"top_logprobs":5,
         "prompt_logprobs":1,"priority":-4,"return_token_ids":true,"stream":true,"stream_options":{"include_usage":true},
         "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"z":1,"a":2}}}],
         "tool_choice":"auto","chat_template_kwargs":{"thinking":true},"continue_final_message":false,
         "add_generation_prompt":true,"user":"u","metadata":{"x":1},"parallel_tool_calls":true,
         "response_format":{"type":"text"},"some_future_field":[1])"));
  ASSERT_THAT(parsed, IsOk());
  const GenerateRequest& request = parsed->generate;
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.sampling.temperature, 0.5F);
  EXPECT_EQ(request.sampling.top_p, 0.9F);
  EXPECT_EQ(request.sampling.top_k, 7);
  EXPECT_EQ(request.sampling.min_p, 0.1F);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1F);
  EXPECT_EQ(request.sampling.frequency_penalty, 0.2F);
  EXPECT_EQ(request.sampling.presence_penalty, -0.3F);
  EXPECT_EQ(request.sampling.seed, -1);
  EXPECT_THAT(request.sampling.logit_bias, ElementsAre(Pair(5, -100.F), Pair(7, 1.5F)));
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.min_tokens, 2);
  EXPECT_THAT(request.stop, ElementsAre("a", "b"));
  EXPECT_THAT(request.stop_token_ids, ElementsAre(3));
  EXPECT_TRUE(request.ignore_eos);
  EXPECT_EQ(request.n, 2);
  EXPECT_EQ(request.logprobs, 5);
  EXPECT_EQ(request.prompt_logprobs, 1);
  EXPECT_EQ(request.priority, -4);
  EXPECT_TRUE(request.return_token_ids);
  EXPECT_TRUE(parsed->stream);
  EXPECT_TRUE(parsed->include_usage);
  const auto& chat = std::get<ChatPrompt>(request.prompts[0]);
  EXPECT_EQ(chat.tools[0].parameters_json, R"({"z":1,"a":2})") << "in the client's order";
  EXPECT_EQ(chat.thinking, true);
}

TEST(ApiRequestTest, TreatsNullLikeAbsence) {
  const auto parsed = ParseChatRequest(
      Chat(R"("temperature":null,"max_tokens":null,"seed":null,"stop":null,"tools":null,"logprobs":null,"n":null,
              "response_format":null,"logit_bias":null,"stream_options":null,"tool_choice":null)"));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_FALSE(parsed->generate.max_tokens.has_value());
  EXPECT_FALSE(parsed->generate.sampling.temperature.has_value());
}

TEST(ApiRequestTest, ReadsTheFormsOfMessages) {
  const auto parsed = ParseChatRequest(R"({"messages":[
      {"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":null,"reasoning_content":"r","tool_calls":[
        {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},
      {"role":"tool","tool_call_id":"c1","content":"42"},
      {"role":"assistant","content":"go","prefix":true}]})");
  ASSERT_THAT(parsed, IsOk());
  const auto& messages = std::get<ChatPrompt>(parsed->generate.prompts[0]).messages;
  EXPECT_EQ(messages[0].content, "ab");
  EXPECT_EQ(messages[1].content, std::nullopt);
  EXPECT_EQ(messages[1].reasoning_content, "r");
  EXPECT_EQ(messages[1].tool_calls[0].arguments, R"({"x":1})");
  EXPECT_EQ(messages[2].tool_call_id, "c1");
  EXPECT_TRUE(messages[3].prefix);
}

TEST(ApiRequestTest, ReadsTheFormsOfPrompts) {
  EXPECT_EQ(ParseCompletionRequest(R"({"prompt":"x"})")->generate.prompts.size(), 1U);
  EXPECT_EQ(ParseCompletionRequest(R"({"prompt":["x","y"]})")->generate.prompts.size(), 2U);
  EXPECT_EQ(ParseCompletionRequest(R"({"prompt":[[1],[2],[3]]})")->generate.prompts.size(), 3U);
  const auto ids = ParseCompletionRequest(R"({"prompt":[1,2]})");
  EXPECT_THAT(std::get<TokenPrompt>(ids->generate.prompts[0]).ids, ElementsAre(1, 2));
}

TEST(ApiRequestTest, EchoWithLogprobsAsksForPromptLogprobs) {
  const auto parsed = ParseCompletionRequest(Completion(R"("echo":true,"logprobs":3,"max_tokens":0)"));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->generate.prompt_logprobs, 3);
  EXPECT_EQ(parsed->generate.max_tokens, 0);
}

TEST(ApiRequestTest, TakesIntegersBeyond64BitsAsTheLargest) {
  EXPECT_EQ(ParseChatRequest(Chat(R"("max_tokens":9223372036854775808)"))->generate.max_tokens,
            std::numeric_limits<int64_t>::max());
}

TEST(ApiRequestTest, TakesEqualValuesOfBothNamesOfMaxTokens) {
  EXPECT_THAT(ParseChatRequest(Chat(R"("max_tokens":5,"max_completion_tokens":5)")), IsOk());
}

struct Refusal {
  std::string body;
  std::string message;
};

TEST(ApiRequestTest, NamesTheFieldOfAWrongType) {
  for (const auto& [body, message] : std::vector<Refusal>{
           {"[]", "body: got an array, wanted an object"},
           {R"({"model":"m"})", "messages: got none"},
           {R"({"messages":[]})", "messages: got none"},
           {R"({"messages":"x"})", "messages: got \"x\", wanted an array"},
           {R"({"messages":["x"]})", "messages[0]: got \"x\", wanted an object"},
           {R"({"messages":[{"content":"x"}]})", "messages[0].role"},
           {R"({"messages":[{"role":"user","content":5}]})", "messages[0].content: got 5"},
           {R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})", "messages[0].content[0].type"},
           {R"({"messages":[{"role":"assistant","tool_calls":[{"id":"x"}]}]})", "messages[0].tool_calls[0].function"},
           {Chat(R"("model":5)"), "model: got 5, wanted a string"},
           {Chat(R"("max_tokens":1.5)"), "max_tokens: got 1.5, wanted an integer"},
           {Chat(R"("max_tokens":"5")"), "max_tokens: got \"5\", wanted an integer"},
           {Chat(R"("max_tokens":5,"max_completion_tokens":6)"), "max_completion_tokens: got 6"},
           {Chat(R"("temperature":"hot")"), "temperature: got \"hot\", wanted a number"},
           {Chat(R"("stream":1)"), "stream: got 1, wanted true or false"},
           {Chat(R"("n":2147483648)"), "n: got 2147483648"},
           {Chat(R"("stop":5)"), "stop: got 5"},
           {Chat(R"("stop":["a",5])"), "stop[1]: got 5"},
           {Chat(R"("logit_bias":{"x":1})"), "logit_bias: got the key 'x'"},
           {Chat(R"("logit_bias":{"1":"y"})"), "logit_bias[1]: got \"y\""},
           {Chat(R"("logit_bias":[1])"), "logit_bias: got an array"},
           {Chat(R"("logprobs":true,"top_logprobs":21)"), "top_logprobs: got 21, wanted 0 to 20"},
           {Chat(R"("top_logprobs":3)"), "top_logprobs: got 3, wanted logprobs"},
           {Chat(R"("stop_token_ids":[1,"x"])"), "stop_token_ids[1]: got \"x\""},
           {Chat(R"("stream_options":{"include_usage":1})"), "stream_options.include_usage"},
           {Chat(R"("tools":[{"type":"function"}])"), "tools[0].type"},
           {Chat(R"("tools":[5])"), "tools[0].type"},
           {Chat(R"("tools":[{"type":"function","function":{"name":"f","parameters":5}}])"),
            "tools[0].function.parameters: got 5"},
           {Chat(R"("tool_choice":"maybe")"), "tool_choice: got \"maybe\""},
           {Chat(R"("thinking":{"type":"maybe"})"), "thinking.type: got 'maybe'"},
           {Chat(R"("echo":true)"), "echo"},
       }) {
    EXPECT_THAT(ParseChatRequest(body), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message))) << body;
  }
  for (const auto& [body, message] : std::vector<Refusal>{
           {R"({"model":"m"})", "prompt: got none"},
           {R"({"prompt":[]})", "prompt: got an empty array"},
           {R"({"prompt":[1,"x"]})", "prompt[1]: got \"x\""},
           {R"({"prompt":[1.5]})", "prompt[0]: got 1.5"},
           {R"({"prompt":[[1,99999999999]]})", "prompt[0][1]: got 99999999999"},
           {R"({"prompt":{"a":1}})", "prompt: got an object"},
           {Completion(R"("logprobs":true)"), "logprobs: got true"},
       }) {
    EXPECT_THAT(ParseCompletionRequest(body), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message))) << body;
  }
}

TEST(ApiRequestTest, RefusesConstraintsThatItCannotKeepByName) {
  for (const auto& [field, message] : std::vector<Refusal>{
           {R"("response_format":{"type":"json_object"})", "response_format.type"},
           {R"("response_format":{"type":"json_schema","json_schema":{}})", "response_format.type"},
           {R"("tool_choice":"required")", "tool_choice"},
           {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice"},
           {R"("tools":[{"type":"function","function":{"name":"f","strict":true}}])", "tools[0].function.strict"},
           {R"("tools":[{"type":"function","function":{"name":"f"}}],"parallel_tool_calls":false)",
            "parallel_tool_calls"},
           {R"("guided_json":{"a":1})", "guided_json"},
           {R"("guided_regex":"x")", "guided_regex"},
           {R"("structured_outputs":{"choice":["a"]})", "structured_outputs"},
           {R"("grammar":"root ::= x")", "grammar"},
           {R"("functions":[{"name":"f"}])", "functions"},
           {R"("bad_words":["x"])", "bad_words"},
           {R"("best_of":3)", "best_of"},
           {R"("suffix":"x")", "suffix"},
       }) {
    EXPECT_THAT(ParseChatRequest(Chat(field)), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr(message))) << field;
  }
  EXPECT_THAT(ParseChatRequest(Chat(R"("guided_json":null,"functions":[],"suffix":"","best_of":1,"audio":false)")),
              IsOk())
      << "values that ask for nothing";
}

}  // namespace
}  // namespace tessera
