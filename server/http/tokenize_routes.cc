#include <functional>
#include <memory>
#include <utility>

#include "base/status_macros.h"
#include "server/http/answer_writer.h"
#include "server/http/api_request.h"
#include "server/http/error_body.h"
#include "server/http/field_reader.h"
#include "server/http/job_responder.h"
#include "server/http/routes.h"
#include "server/session/request_builder.h"

namespace tessera {
namespace {

absl::StatusOr<Json> ParseAndCheckModel(const std::string& text, const GenerationService& service) {
  TESSERA_ASSIGN_OR_RETURN(Json body, ParseBody(text));
  FieldReader reader(body, "");
  std::string model;
  reader.Read("model", model);
  TESSERA_RETURN_IF_ERROR(reader.status());
  TESSERA_RETURN_IF_ERROR(CheckModel(model, service.config()));
  return body;
}

// {"prompt"} or {"messages", …} → {"tokens", "count", "max_model_len"}
absl::StatusOr<Json> Tokenize(const GenerationService& service, const std::string& text) {
  TESSERA_ASSIGN_OR_RETURN(const Json body, ParseAndCheckModel(text, service));
  FieldReader reader(body, "");
  Prompt prompt;
  if (reader.Find("messages") != nullptr) {
    TESSERA_ASSIGN_OR_RETURN(prompt, ParseChatPrompt(body));
  } else {
    std::optional<std::string> raw;
    TextPrompt text_prompt;
    reader.Read("prompt", raw);
    reader.Read("add_special_tokens", text_prompt.add_special_tokens);
    if (!raw.has_value()) reader.Refuse("prompt", "none", "a string, or messages");
    TESSERA_RETURN_IF_ERROR(reader.status());
    text_prompt.text = *std::move(raw);
    prompt = std::move(text_prompt);
  }
  TESSERA_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, service.Tokenize(prompt));
  return Json{{"count", ids.size()}, {"max_model_len", service.limits().context_tokens_max}, {"tokens", ids}};
}

// {"tokens"} → {"prompt"}
absl::StatusOr<Json> Detokenize(const GenerationService& service, const std::string& text) {
  TESSERA_ASSIGN_OR_RETURN(const Json body, ParseAndCheckModel(text, service));
  FieldReader reader(body, "");
  std::vector<TokenId> ids;
  if (reader.Find("tokens") == nullptr) reader.Refuse("tokens", "none", "an array of token ids");
  reader.Read("tokens", ids);
  TESSERA_RETURN_IF_ERROR(reader.status());
  TESSERA_ASSIGN_OR_RETURN(std::string prompt, service.Detokenize(ids));
  return Json{{"prompt", std::move(prompt)}};
}

using Job = absl::StatusOr<Json> (*)(const GenerationService&, const std::string&);

HttpHandler MakeHandler(const RouteContext& context, Job job) {
  return [context, job](HttpRequest http, const std::shared_ptr<Exchange>& exchange) -> std::shared_ptr<Responder> {
    auto responder = std::make_shared<JobResponder>(exchange);
    if (!context.work.TryRun(
            [context, job, responder, body = std::move(http.body), share = std::move(http.body_share)] {
              const absl::StatusOr<Json> answer = job(context.service, body);
              responder->Finish(answer.ok() ? HttpResponse{.body = Dump(*answer)} : ErrorResponse(answer.status()));
            })) {
      exchange->Respond(
          ErrorResponse(absl::ResourceExhaustedError("too many requests wait to be read; try again later")));
      return nullptr;
    }
    return responder;
  };
}

}  // namespace

void AddTokenizeRoutes(const RouteContext& context, Router& router) {
  router.Add("POST", "/tokenize", MakeHandler(context, &Tokenize));
  router.Add("POST", "/detokenize", MakeHandler(context, &Detokenize));
}

}  // namespace tessera
