// What clients get: documents, streams, log probabilities, tool calls.
#include <array>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "server/http/http_api_fixture.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(HttpApiTest, AnswersAChatWhole) {
  Says("why</think>because");
  script_.num_cached_tokens = 3;
  engine_.StartThread();
  HttpClient client(address_);
  client.Post(kChat, ChatBody(), "X-Request-Id: abc-1\r\n");
  const HttpReply reply = client.ReadReply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("x-request-id"), "abc-1");
  const Json json = Json::parse(reply.body);
  EXPECT_EQ(json["id"], "chatcmpl-abc-1");
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "model");
  EXPECT_EQ(json["system_fingerprint"], "fp");
  const Json& choice = json["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], "because");
  EXPECT_EQ(choice["message"]["reasoning_content"], "why");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["stop_reason"], 257);
  const int prompt_tokens = json["usage"]["prompt_tokens"];
  EXPECT_EQ(json["usage"]["completion_tokens"], 12);
  EXPECT_EQ(json["usage"]["total_tokens"], prompt_tokens + 12);
  EXPECT_EQ(json["usage"]["completion_tokens_details"]["reasoning_tokens"], 4);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
  EXPECT_EQ(json["usage"]["prompt_cache_hit_tokens"], 3);
  EXPECT_EQ(json["usage"]["prompt_cache_miss_tokens"], prompt_tokens - 3);
}

TEST_F(HttpApiTest, StreamsWhatItWouldAnswerWhole) {
  for (const std::string text :
       {"why</think>삼겹살 👩‍💻 é — 日本", "x</think>  leading", "x</think>a    b\n\n    c", "cut"}) {
    SCOPED_TRACE(text);
    Says(text, text == "cut" ? FinishReason::kLength : FinishReason::kStop);
    HttpClient whole_client(address_), stream_client(address_);
    whole_client.Post(kChat, ChatBody());
    engine_.AwaitLive(1);
    while (engine_.Step(3) > 0) continue;
    const Json whole = Json::parse(whole_client.ReadReply().body)["choices"][0];
    stream_client.Post(kChat, ChatBody(R"("stream":true,"stream_options":{"include_usage":true})"));
    engine_.AwaitLive(1);
    while (engine_.Step() > 0) continue;
    const HttpReply reply = stream_client.ReadReply();
    EXPECT_EQ(reply.headers.at("content-type"), "text/event-stream; charset=utf-8");
    const std::vector<std::string> events = EventData(reply.body);
    ASSERT_GE(events.size(), 3U);
    EXPECT_EQ(events.back(), "[DONE]");
    const Json usage = Json::parse(events[events.size() - 2]);
    EXPECT_TRUE(usage["choices"].empty());
    EXPECT_GT(usage["usage"]["completion_tokens"], 0);
    std::string content, reasoning;
    Json finish;
    for (size_t i = 0; i + 2 < events.size(); ++i) {
      const Json chunk = Json::parse(events[i]);
      EXPECT_EQ(chunk["object"], "chat.completion.chunk");
      EXPECT_TRUE(chunk["usage"].is_null());
      const Json& choice = chunk["choices"][0];
      EXPECT_EQ(choice["delta"].contains("role"), i == 0);
      content += choice["delta"].value("content", "");
      reasoning += choice["delta"].value("reasoning_content", "");
      finish = choice["finish_reason"];
      EXPECT_EQ(finish.is_null(), i + 3 < events.size()) << "the reason comes in the last chunk";
    }
    EXPECT_EQ(content, whole["message"]["content"].is_null() ? "" : whole["message"]["content"].get<std::string>());
    EXPECT_EQ(reasoning, whole["message"]["reasoning_content"]);
    EXPECT_EQ(finish, whole["finish_reason"]);
  }
}

TEST_F(HttpApiTest, CutThinkingHasReasoningAndNullContent) {
  Says("hmm", FinishReason::kLength);
  engine_.StartThread();
  const Json choice = PostJson(kChat, ChatBody())["choices"][0];
  EXPECT_TRUE(choice["message"]["content"].is_null());
  EXPECT_EQ(choice["message"]["reasoning_content"], "hmm");
  EXPECT_EQ(choice["finish_reason"], "length");
}

TEST_F(HttpApiTest, AnswersToolCalls) {
  Says(
      "t</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\":[1,{\"b\":true}]}"
      "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>");
  engine_.StartThread();
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"add"}}])";
  const Json choice = PostJson(kChat, ChatBody(tools))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  const Json& call = choice["message"]["tool_calls"][0];
  EXPECT_EQ(call["function"]["name"], "add");
  EXPECT_EQ(call["function"]["arguments"], R"({"a":[1,{"b":true}]})");
  std::string arguments, name;
  for (const std::string& event : EventData(Post(kChat, ChatBody(tools + R"(,"stream":true)")).body)) {
    if (event == "[DONE]") continue;
    const Json part = Json::parse(event)["choices"][0]["delta"];
    if (!part.contains("tool_calls")) continue;
    for (const Json& piece : part["tool_calls"]) {
      name += piece["function"].value("name", "");
      arguments += piece["function"].value("arguments", "");
    }
  }
  EXPECT_EQ(name, "add");
  EXPECT_EQ(arguments, R"({"a":[1,{"b":true}]})");
}

TEST_F(HttpApiTest, StopsBeforeAStopStringInEveryMode) {
  for (const auto& [text, stops, want, matched] :
       std::vector<std::array<std::string, 4>>{{"ABCDEFGHIJK", R"(["DEFGHIJ"])", "ABC", "DEFGHIJ"},
                                               {"aaab", R"(["aab","ab"])", "a", "aab"},
                                               {"x日本語y", R"("本")", "x日", "本"}}) {
    Says(text, FinishReason::kLength);
    const std::string body = CompletionBody(R"("stop":)" + stops);
    for (const int batch : {1, 4, 100}) {
      HttpClient client(address_);
      client.Post(kCompletions, body);
      engine_.AwaitLive(1);
      while (engine_.num_live() > 0) engine_.Step(batch);
      const Json choice = Json::parse(client.ReadReply().body)["choices"][0];
      EXPECT_EQ(choice["text"], want);
      EXPECT_EQ(choice["finish_reason"], "stop");
      EXPECT_EQ(choice["stop_reason"], matched);
    }
  }
}

TEST_F(HttpApiTest, RefusesBadStops) {
  std::string seventeen = "[";
  for (int i = 0; i < 17; ++i) seventeen += "\"s" + std::to_string(i) + "\",";
  seventeen.back() = ']';
  for (const std::string& stop : {std::string(R"("")"), std::string(R"(["a",""])"), seventeen}) {
    const HttpReply reply = Post(kCompletions, CompletionBody(R"("stop":)" + stop));
    EXPECT_EQ(reply.status, 400) << stop;
    EXPECT_THAT(Json::parse(reply.body)["error"]["param"].get<std::string>(), HasSubstr("stop"));
  }
}

TEST_F(HttpApiTest, StreamsChoicesWithTheirIndex) {
  Says("ab", FinishReason::kLength);
  engine_.StartThread();
  std::map<int, std::string> texts;
  for (const std::string& event : EventData(Post(kCompletions, CompletionBody(R"("n":3,"stream":true)")).body)) {
    if (event == "[DONE]") continue;
    const Json choice = Json::parse(event)["choices"][0];
    texts[choice["index"]] += choice["text"];
  }
  EXPECT_THAT(texts, ElementsAre(testing::Pair(0, "ab"), testing::Pair(1, "ab"), testing::Pair(2, "ab")));
  std::set<uint64_t> seeds;
  for (const Request& request : engine_.submitted()) seeds.insert(request.sampling.seed);
  EXPECT_EQ(seeds.size(), 3U);
}

TEST_F(HttpApiTest, EchoesThePromptWithItsLogprobs) {
  Says("b", FinishReason::kLength);
  script_.top = {{97, -0.5F}, {98, -1.F}, {0xE9, -2.F}};
  engine_.StartThread();
  const Json choice =
      PostJson(kCompletions, R"({"prompt":"xy","add_special_tokens":false,"echo":true,"logprobs":2})")["choices"][0];
  EXPECT_EQ(choice["text"], "xyb");
  const Json& logprobs = choice["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json::array({"x", "y", "b"}));
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_EQ(logprobs["token_logprobs"][1], -0.5);
  EXPECT_EQ(logprobs["top_logprobs"][2].size(), 2U);
  EXPECT_EQ(logprobs["text_offset"], Json::array({0, 1, 2}));
}

TEST_F(HttpApiTest, RunsOnlyThePromptForMaxTokensZero) {
  Says("b", FinishReason::kLength);
  engine_.StartThread();
  const Json json = PostJson(kCompletions, CompletionBody(R"("echo":true,"logprobs":0,"max_tokens":0)"));
  EXPECT_EQ(json["choices"][0]["text"], "q");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(json["choices"][0]["logprobs"]["tokens"].size(), 2U) << "BOS and q";
  EXPECT_EQ(json["usage"]["completion_tokens"], 0);
}

TEST_F(HttpApiTest, LogprobsAreFiniteAndHaveBytes) {
  Says("t</think>é", FinishReason::kLength);
  script_.logprob = -std::numeric_limits<float>::infinity();
  script_.top = {{0xC3, std::numeric_limits<float>::quiet_NaN()}};
  engine_.StartThread();
  const HttpReply reply = Post(kChat, ChatBody(R"("logprobs":true,"top_logprobs":20,"return_token_ids":true)"));
  ASSERT_EQ(reply.status, 200);
  const Json choice = Json::parse(reply.body)["choices"][0];
  const Json& content = choice["logprobs"]["content"];
  ASSERT_EQ(content.size(), 4U) << "one for each token";
  EXPECT_EQ(content[2]["bytes"], Json::array({0xC3}));
  EXPECT_EQ(content[2]["token"], "\uFFFD");
  EXPECT_EQ(content[2]["logprob"], -9999.0);
  EXPECT_EQ(content[2]["top_logprobs"][0]["logprob"], -9999.0);
  EXPECT_EQ(choice["token_ids"].size(), 4U);
}

TEST_F(HttpApiTest, TokenizesAsItGenerates) {
  Says("x");
  engine_.StartThread();
  const Json tokens = PostJson("/tokenize", ChatBody());
  EXPECT_EQ(tokens["max_model_len"], 1000);
  EXPECT_EQ(tokens["count"], tokens["tokens"].size());
  EXPECT_EQ(PostJson(kChat, ChatBody())["usage"]["prompt_tokens"], tokens["count"]);
  EXPECT_EQ(PostJson("/tokenize", R"({"prompt":"é","add_special_tokens":false})")["tokens"], Json::array({0xC3, 0xA9}));
  EXPECT_EQ(PostJson("/detokenize", R"({"tokens":[32,195,169,10]})")["prompt"], " é\n");
  EXPECT_EQ(Post("/detokenize", R"({"tokens":[400]})").status, 400);
  EXPECT_EQ(Post("/tokenize", R"({})").status, 400);
}

TEST_F(HttpApiTest, ShowsModelsHealthAndMetrics) {
  EXPECT_EQ(Json::parse(Get("/v1/models").body)["data"][0]["id"], "model");
  EXPECT_EQ(Json::parse(Get("/v1/models/model").body)["max_model_len"], 1000);
  EXPECT_EQ(Get("/v1/models/other").status, 404);
  EXPECT_EQ(Get("/health").status, 200);
  EXPECT_EQ(Get("/ready").status, 200);
  engine_.SetReady(false);
  const HttpReply ready = Get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_THAT(ready.body, HasSubstr("loading"));
  EXPECT_EQ(Get("/health").status, 200);
  EXPECT_THAT(Get("/metrics").body, HasSubstr("vllm:num_requests_running{"));
}

}  // namespace
}  // namespace tessera
