#pragma once

// The HTTP API over real sockets, with an engine that says what each test has scripted. For tests only.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fake_clock.h"
#include "gtest/gtest.h"
#include "server/http/http_server.h"
#include "server/http/router.h"
#include "server/http/routes.h"
#include "server/limits/json_parser.h"
#include "server/testing/fake_engine.h"
#include "server/testing/http_client.h"
#include "server/testing/test_tokenizer.h"

namespace tessera {

inline constexpr char kChat[] = "/v1/chat/completions";
inline constexpr char kCompletions[] = "/v1/completions";

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

}  // namespace tessera
