#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/http/api_request.h"
#include "server/http/chat_answer.h"
#include "server/http/completion_answer.h"
#include "server/http/error_body.h"
#include "server/http/generate_responder.h"
#include "server/http/routes.h"
#include "server/session/request_builder.h"

namespace tessera {
namespace {

enum class Api { kChat, kCompletion };

AnswerHeader MakeHeader(const RouteContext& context, const ApiRequest& request, const std::string& id) {
  const GenerateRequest& generate = request.generate;
  return {.id = id,
          .created = absl::ToUnixSeconds(context.service.clock().Now()),
          .model = generate.model.empty() ? context.service.config().model_name : generate.model,
          .system_fingerprint = context.system_fingerprint,
          .num_choices = static_cast<int32_t>(generate.prompts.size()) * generate.n,
          .choices_per_prompt = generate.n,
          .include_usage = request.include_usage,
          .has_logprobs = generate.logprobs.has_value(),
          .echo = generate.echo,
          .return_token_ids = generate.return_token_ids};
}

// On a thread of the work pool: JSON, too, may be long.
void Begin(const RouteContext& context, Api api, HttpRequest http,
           const std::shared_ptr<GenerateResponder>& responder) {
  absl::StatusOr<ApiRequest> request =
      api == Api::kChat ? ParseChatRequest(http.body) : ParseCompletionRequest(http.body);
  if (!request.ok()) return responder->Refuse(request.status());
  // Before the writer makes room for each choice.
  if (absl::Status status = CheckRequest(request->generate, context.service.config()); !status.ok()) {
    return responder->Refuse(std::move(status));
  }
  request->generate.id = http.id;
  request->generate.access = std::move(http.access);
  AnswerHeader header = MakeHeader(context, *request, absl::StrCat(api == Api::kChat ? "chatcmpl-" : "cmpl-", http.id));
  GenerateResponder::Form form{
      .is_stream = request->stream, .include_usage = request->include_usage, .body_share = std::move(http.body_share)};
  if (api == Api::kChat) {
    form.writer = std::make_unique<ChatAnswer>(context.service.tokenizer(), std::move(header));
  } else {
    form.writer = std::make_unique<CompletionAnswer>(context.service.tokenizer(), std::move(header));
  }
  responder->Attach(context.service.Start(std::move(request->generate), responder), std::move(form));
}

HttpHandler MakeHandler(const RouteContext& context, Api api) {
  return [context, api](HttpRequest http, const std::shared_ptr<Exchange>& exchange) -> std::shared_ptr<Responder> {
    auto responder = std::make_shared<GenerateResponder>(exchange);
    auto shared_http = std::make_shared<HttpRequest>(std::move(http));
    if (!context.work.TryRun(
            [context, api, shared_http, responder] { Begin(context, api, std::move(*shared_http), responder); })) {
      exchange->Respond(
          ErrorResponse(absl::ResourceExhaustedError("too many requests wait to be read; try again later")));
      return nullptr;
    }
    return responder;
  };
}

}  // namespace

void AddCompletionRoutes(const RouteContext& context, Router& router) {
  for (const char* prefix : {"/v1", ""}) {
    router.Add("POST", absl::StrCat(prefix, "/chat/completions"), MakeHandler(context, Api::kChat));
    router.Add("POST", absl::StrCat(prefix, "/completions"), MakeHandler(context, Api::kCompletion));
  }
}

}  // namespace tessera
