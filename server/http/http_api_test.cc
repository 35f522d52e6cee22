// The HTTP API over real sockets, with an engine that says what each test has scripted.
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "base/fake_clock.h"
#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/http/http_server.h"
#include "server/http/router.h"
#include "server/http/routes.h"
#include "server/limits/json_parser.h"
#include "server/testing/fake_engine.h"
#include "server/testing/http_client.h"
#include "server/testing/test_tokenizer.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kChat[] = "/v1/chat/completions";
constexpr char kCompletions[] = "/v1/completions";

class HttpApiTest : public testing::Test {
 protected:
  explicit HttpApiTest(std::vector<std::string> keys = {}) : router_(ApiKeys(std::move(keys))) {
    engine_.SetSink(&service_);
    AddRoutes({.service = service_, .metrics = metrics_, .work = work_, .system_fingerprint = "fp"}, router_);
    address_ = *http_.Start("127.0.0.1:0");
  }
  ~HttpApiTest() override {
    engine_.StopThread();
    http_.Stop();
    work_.Stop();
  }

  void Says(std::string_view text, FinishReason finish = FinishReason::kStop) {
    script_ = {.tokens = Spell(*tokenizer_, text), .finish = finish};
    if (finish == FinishReason::kStop) script_.tokens.push_back(*tokenizer_->eos_id());
  }
  HttpReply Post(const std::string& path, const std::string& body) {
    HttpClient client(address_);
    client.Post(path, body);
    return client.ReadReply();
  }
  Json PostJson(const std::string& path, const std::string& body) { return Json::parse(Post(path, body).body); }
  HttpReply Get(const std::string& path, const std::string& headers = "") {
    HttpClient client(address_);
    client.Get(path, headers);
    return client.ReadReply();
  }
  static std::string ChatBody(const std::string& more = "") {
    return R"({"messages":[{"role":"user","content":"q"}])" + (more.empty() ? "" : "," + more) + "}";
  }
  static std::string CompletionBody(const std::string& more = "") {
    return R"({"prompt":"q")" + (more.empty() ? "" : "," + more) + "}";
  }
  void AwaitNothingRuns() {
    engine_.AwaitLive(0);
    ASSERT_TRUE(service_.AwaitIdle(absl::Seconds(60)));
  }

  std::unique_ptr<const Tokenizer> tokenizer_ = MakeTestTokenizer();
  ChatFormat format_ = MakeTestChatFormat(*tokenizer_, "r1");
  FakeClock clock_;
  Script script_;
  FakeEngine engine_{FakeEngine::DefaultLimits(), [this](const Request&) { return script_; }};
  ServerMetrics metrics_{"model", engine_};
  WorkPool work_{1, 64};
  ServiceConfig config_{.eos_tokens = {257}, .client_buffer_bytes_max = 64 << 10};
  GenerationService service_{config_, *tokenizer_, format_, engine_, clock_, metrics_, work_};
  Router router_;
  HttpServer http_{{.body_bytes_max = 4 << 20}, router_, clock_, metrics_};
  std::string address_;
};

// ---- Answers ----

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

// ---- Refusals ----

TEST_F(HttpApiTest, RefusesWithBodiesThatClientsRead) {
  const auto expect = [&](const HttpReply& reply, int status, const char* code) {
    EXPECT_EQ(reply.status, status);
    const Json error = Json::parse(reply.body)["error"];
    EXPECT_EQ(error["code"], code);
    EXPECT_TRUE(error["message"].is_string());
    EXPECT_TRUE(error["type"].is_string());
  };
  expect(Post(kChat, "{"), 400, "invalid_value");
  expect(Post(kChat, ChatBody(R"("model":"other")")), 404, "model_not_found");
  expect(Post(kChat, ChatBody(R"("response_format":{"type":"json_object"})")), 400, "unsupported_value");
  expect(Post(kChat, ChatBody(R"("temperature":-1)")), 400, "invalid_value");
  expect(Post("/v1/nothing", "{}"), 404, "route_not_found");
  expect(Get("/v2/models"), 404, "route_not_found");
  expect(Post(kCompletions, R"({"prompt":")" + std::string(1000, 'x') + "\"}"), 400, "context_length_exceeded");
  expect(Post(kChat, std::string(5 << 20, ' ')), 413, "request_too_large");
  const HttpReply wrong_method = Get(kChat);
  expect(wrong_method, 405, "method_not_allowed");
  EXPECT_EQ(wrong_method.headers.at("allow"), "POST");
  EXPECT_EQ(Json::parse(Post(kChat, ChatBody(R"("top_p":7)")).body)["error"]["param"], "top_p");
}

TEST_F(HttpApiTest, SurvivesDeepNesting) {
  for (const int depth : {64, 1000, 1'000'000}) {
    const std::string deep =
        std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
    for (const std::string& field :
         {R"("x":)" + deep, R"("metadata":)" + deep,
          R"("tools":[{"type":"function","function":{"name":"f","parameters":)" + deep + "}}]"}) {
      const HttpReply reply = Post(kChat, ChatBody(field));
      EXPECT_EQ(reply.status, 400) << depth;
      EXPECT_THAT(reply.body, HasSubstr("nested deeper than 64"));
    }
  }
  EXPECT_EQ(Get("/health").status, 200);
}

TEST_F(HttpApiTest, GivesOverloadAndFailuresTheirOwnStatus) {
  Says("x");
  engine_.RefuseWith(absl::ResourceExhaustedError("queue full"));
  const HttpReply busy = Post(kChat, ChatBody(R"("stream":true)"));
  EXPECT_EQ(busy.status, 429);
  EXPECT_TRUE(busy.headers.contains("retry-after"));
  engine_.RefuseWith(absl::UnavailableError("draining"));
  EXPECT_EQ(Post(kChat, ChatBody()).status, 503);
  engine_.RefuseWith(absl::OkStatus());
  script_ = {.finish = FinishReason::kError, .status = absl::InternalError("not finite")};
  engine_.StartThread();
  for (const char* stream : {"true", "false"}) {
    const HttpReply failed = Post(kChat, ChatBody(std::string(R"("stream":)") + stream));
    EXPECT_EQ(failed.status, 500);
    EXPECT_THAT(failed.body, HasSubstr("not finite"));
  }
}

TEST_F(HttpApiTest, TellsOfAFailureInMidStreamAndEndsIt) {
  Says("a</think>bcdef", FinishReason::kError);
  script_.status = absl::InternalError("not finite");
  engine_.StartThread();
  const HttpReply reply = Post(kChat, ChatBody(R"("stream":true)"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.is_complete);
  const std::vector<std::string> events = EventData(reply.body);
  EXPECT_EQ(Json::parse(events.back())["error"]["message"], "not finite");
  EXPECT_THAT(reply.body, Not(HasSubstr("[DONE]")));
  EXPECT_THAT(reply.body, Not(HasSubstr("event:")));
}

// ---- Connections ----

TEST_F(HttpApiTest, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  Says("x</think>y");
  engine_.StartThread();
  HttpClient client(address_);
  client.Post(kChat, ChatBody());
  client.Get("/health");
  client.Get("/v1/models");
  EXPECT_THAT(client.ReadReply().body, HasSubstr("chat.completion"));
  EXPECT_THAT(client.ReadReply().body, HasSubstr("ok"));
  EXPECT_THAT(client.ReadReply().body, HasSubstr("list"));
  client.Get("/health", "Connection: close\r\n");
  EXPECT_EQ(client.ReadReply().headers.at("connection"), "close");
  EXPECT_TRUE(client.ReadsEnd());
}

TEST_F(HttpApiTest, TakesRequestsInPiecesAndChunks) {
  HttpClient client(address_);
  for (const char c : std::string("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")) client.Send({&c, 1});
  EXPECT_EQ(client.ReadReply().status, 200);
  client.Send(
      "POST /detokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"tokens\r\n7\r\n\":[65]}\r\n0\r\n\r\n");
  EXPECT_EQ(Json::parse(client.ReadReply().body)["prompt"], "A");
  client.Send("POST /detokenize HTTP/1.1\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n");
  client.Send(R"({"tokens":[66]})");
  EXPECT_EQ(Json::parse(client.ReadReply().body)["prompt"], "B");
  EXPECT_EQ(client.num_interim(), 1);
  client.Send("HEAD /health HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.ReadReply(/*is_head=*/true).headers.at("content-length"), "15");
  EXPECT_EQ(client.ReadReply().status, 200);
}

TEST_F(HttpApiTest, RefusesWhatIsNotHttp) {
  for (const std::string& bytes :
       {std::string("\x16\x03\x01 nonsense\r\n\r\n"), "GET / HTTP/1.1\r\nX: " + std::string(20 << 10, 'x') + "\r\n\r\n",
        std::string("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n")}) {
    HttpClient client(address_);
    client.Send(bytes);
    const HttpReply reply = client.ReadReply();
    EXPECT_GE(reply.status, 400);
    EXPECT_LT(reply.status, 500);
    EXPECT_TRUE(client.ReadsEnd());
  }
}

TEST_F(HttpApiTest, ClosesIdleAndSlowConnectionsByTheClock) {
  HttpClient idle(address_), slow(address_);
  idle.Get("/health");
  EXPECT_EQ(idle.ReadReply().status, 200);
  slow.Send("GET /health HTT");
  idle.Get("/health");
  EXPECT_EQ(idle.ReadReply().status, 200);
  clock_.Advance(absl::Seconds(200));
  EXPECT_TRUE(idle.ReadsEnd());
  EXPECT_TRUE(slow.ReadsEnd());
}

TEST_F(HttpApiTest, KeepsAWaitingClientsConnectionAlive) {
  Says("x</think>y");
  script_.waits = true;
  HttpClient stream(address_), whole(address_);
  stream.Post(kChat, ChatBody(R"("stream":true)"));
  whole.Post(kChat, ChatBody());
  engine_.AwaitLive(2);
  clock_.Advance(absl::Seconds(11));
  EXPECT_EQ(stream.ReadHead().status, 200);
  EXPECT_EQ(stream.ReadEvent(), ": keep-alive\n\n");
  EXPECT_EQ(whole.ReadHead().status, 200);
  EXPECT_EQ(whole.ReadChunk(), "\n");
  engine_.Release();
  engine_.StartThread();
  EXPECT_THAT(stream.ReadEvent(), HasSubstr("data: {"));
  EXPECT_EQ(Json::parse(whole.ReadChunk())["choices"][0]["message"]["content"], "y");
  EXPECT_EQ(whole.ReadChunk(), "");
}

TEST_F(HttpApiTest, AFailureAfterAKeepAliveIsSeenByEveryClient) {
  script_ = {.finish = FinishReason::kError, .status = absl::InternalError("not finite"), .waits = true};
  HttpClient stream(address_), whole(address_);
  stream.Post(kChat, ChatBody(R"("stream":true)"));
  whole.Post(kChat, ChatBody());
  engine_.AwaitLive(2);
  clock_.Advance(absl::Seconds(11));
  EXPECT_EQ(stream.ReadHead().status, 200);
  EXPECT_EQ(stream.ReadEvent(), ": keep-alive\n\n");
  EXPECT_EQ(whole.ReadHead().status, 200);
  EXPECT_EQ(whole.ReadChunk(), "\n");
  engine_.Release();
  engine_.StartThread();
  EXPECT_THAT(stream.ReadEvent(), HasSubstr("not finite"));
  EXPECT_EQ(whole.ReadChunk(), "");
  EXPECT_TRUE(whole.ReadsEnd()) << "a body without its end, not a success";
}

// How a client can leave, and in which phase.
enum class Leaving { kClose, kReset };
struct Departure {
  std::string name;
  Leaving leaving;
  bool stream;
  bool queued;  // else: two tokens have come
};
class DepartureTest : public HttpApiTest, public testing::WithParamInterface<Departure> {};

TEST_P(DepartureTest, EndsTheWork) {
  Says(std::string(500, 'x'));
  script_.waits = GetParam().queued;
  HttpClient client(address_);
  client.Post(kChat, ChatBody(GetParam().stream ? R"("stream":true,"n":2)" : R"("n":2)"));
  engine_.AwaitLive(2);
  if (!GetParam().queued) {
    engine_.Step();
    engine_.Step();
    if (GetParam().stream) {
      client.ReadHead();
      client.ReadEvent();
    }
  }
  if (GetParam().leaving == Leaving::kClose) {
    client.Close();
  } else {
    client.Reset();
  }
  // No token and no time passes: the server notices by itself. (The clock moves so that its probes become due.)
  while (engine_.num_cancelled() < 2) {
    clock_.Advance(absl::Milliseconds(300));
    std::this_thread::yield();
  }
  engine_.Step();
  AwaitNothingRuns();
  EXPECT_EQ(engine_.num_useless_cancels(), 0);
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr(R"(tessera_requests_ended_total{engine="0",model_name="model",end="cancelled"} 1)"));
}

INSTANTIATE_TEST_SUITE_P(Phases, DepartureTest,
                         testing::Values(Departure{"CloseQueuedStream", Leaving::kClose, true, true},
                                         Departure{"CloseQueuedWhole", Leaving::kClose, false, true},
                                         Departure{"CloseRunningStream", Leaving::kClose, true, false},
                                         Departure{"CloseRunningWhole", Leaving::kClose, false, false},
                                         Departure{"ResetQueuedStream", Leaving::kReset, true, true},
                                         Departure{"ResetQueuedWhole", Leaving::kReset, false, true},
                                         Departure{"ResetRunningStream", Leaving::kReset, true, false},
                                         Departure{"ResetRunningWhole", Leaving::kReset, false, false}),
                         [](const auto& test_info) { return test_info.param.name; });

TEST_F(HttpApiTest, AHalfCloseIsNoFarewell) {
  Says("x</think>yes");
  script_.waits = true;
  for (const char* stream : {"true", "false"}) {
    HttpClient client(address_);
    client.Post(kChat, ChatBody(std::string(R"("stream":)") + stream));
    engine_.AwaitLive(1);
    client.CloseSending();
    for (int i = 0; i < 20; ++i) clock_.Advance(absl::Milliseconds(300));
    engine_.Release();
    while (engine_.Step(100) > 0) continue;
    const HttpReply reply = client.ReadReply();
    EXPECT_EQ(reply.status, 200);
    EXPECT_THAT(reply.body, HasSubstr("yes"));
  }
  EXPECT_EQ(engine_.num_cancelled(), 0);
}

TEST_F(HttpApiTest, CutsAClientThatDoesNotRead) {
  script_ = {.tokens = std::vector<TokenId>(900, 'x'), .finish = FinishReason::kLength};
  script_.top.assign(20, {65, -1.F});
  HttpClient client(address_);
  // Long events, so that the socket's buffers and the bound are full within the script.
  client.Post(kChat, ChatBody(R"("stream":true,"n":100,"logprobs":true,"top_logprobs":20)"));
  engine_.AwaitSubmitted(100);
  while (engine_.num_cancelled() == 0 && engine_.Step() > 0) continue;
  EXPECT_GT(engine_.num_cancelled(), 0) << "the whole answer found room somewhere";
  engine_.Step();
  AwaitNothingRuns();
  EXPECT_THAT(metrics_.Scrape(), HasSubstr(R"(end="slow_client"} 1)"));
}

TEST_F(HttpApiTest, TakesManyConnectionsAtOnce) {
  Says("x</think>y");
  engine_.StartThread();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 64; ++i) {
    clients.push_back(std::make_unique<HttpClient>(address_));
    clients.back()->Post(kChat, ChatBody(i % 2 == 0 ? R"("stream":true)" : ""));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    if (i % 3 == 0) {
      clients[i]->Reset();
    } else {
      EXPECT_EQ(clients[i]->ReadReply().status, 200);
    }
  }
  AwaitNothingRuns();
}

// ---- Keys ----

class GuardedHttpApiTest : public HttpApiTest {
 protected:
  GuardedHttpApiTest() : HttpApiTest({"secret"}) {}
};

TEST_F(GuardedHttpApiTest, OpensNothingWithoutAKeyButHealthAndReadiness) {
  for (const char* path :
       {"/v1/models", "/models", "/v1/models/model", "/metrics", "/nothing", "//v1/models", "/V1/models",
        "/v1/../health", "/%68ealth", "/v1/models?api_key=secret", "http://x/health"}) {
    EXPECT_EQ(Get(path).status, 401) << path;
  }
  for (const char* path :
       {kChat, kCompletions, "/chat/completions", "/completions", "/tokenize", "/detokenize", "/health"}) {
    EXPECT_EQ(Post(path, "{}").status, 401) << path;
  }
  for (const char* header :
       {"Authorization: Bearer wrong\r\n", "Authorization: Bearer \r\n", "Authorization: Bearer\r\n",
        "Authorization: Bearer secret\r\nAuthorization: Bearer secret\r\n", "Authorization: Basic secret\r\n"}) {
    const HttpReply reply = Get("/v1/models", header);
    EXPECT_EQ(reply.status, 401) << header;
    EXPECT_THAT(reply.body, Not(HasSubstr("wrong")));
  }
  EXPECT_EQ(Get("/health").status, 200);
  EXPECT_EQ(Get("/ready").status, 200);
  EXPECT_EQ(Get("/v1/models", "Authorization: bearer secret\r\n").status, 200);
}

}  // namespace
}  // namespace tessera
