#pragma once

// The HTTP API over real sockets, with an engine that says what each test has scripted. For tests only.

#include <string>
#include <utility>
#include <vector>

#include "server/http/http_server.h"
#include "server/http/router.h"
#include "server/http/routes.h"
#include "server/limits/json_parser.h"
#include "server/testing/http_client.h"
#include "server/testing/scripted_service.h"

namespace tessera {

inline constexpr char kChat[] = "/v1/chat/completions";
inline constexpr char kCompletions[] = "/v1/completions";

class HttpApiTest : public ScriptedServiceTest {
 protected:
  explicit HttpApiTest(std::vector<std::string> keys = {}, const HttpConfig& config = {.body_bytes_max = 4 << 20})
      : router_(ApiKeys(std::move(keys))), http_(config, router_, clock_, metrics_, access_log_) {
    AddRoutes({.service = service_, .metrics = metrics_, .work = work_, .system_fingerprint = "fp"}, router_);
    address_ = *http_.Start("127.0.0.1:0");
  }
  void StopTransport() override { http_.Stop(); }

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

  Router router_;
  HttpServer http_;
  std::string address_;
};

}  // namespace tessera
