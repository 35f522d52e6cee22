#include <memory>
#include <string_view>
#include <utility>

#include "server/http/answer_writer.h"
#include "server/http/error_body.h"
#include "server/http/routes.h"
#include "server/session/request_builder.h"

namespace tessera {
namespace {

constexpr std::string_view kModelPath = "/v1/models/";

enum class Asks { kOnce, kAgainAndAgain };

// Wraps what can be answered at once.
template <typename Answer>
HttpHandler AtOnce(Answer answer, Asks asks = Asks::kOnce) {
  return [answer = std::move(answer), asks](HttpRequest request, const std::shared_ptr<Exchange>& exchange) {
    request.access->is_probe = asks == Asks::kAgainAndAgain;
    exchange->Respond(answer(request));
    return std::shared_ptr<Responder>();
  };
}

Json ModelJson(const GenerationService& service, absl::Time started) {
  return {{"id", service.config().model_name},
          {"object", "model"},
          {"created", absl::ToUnixSeconds(started)},
          {"owned_by", "tessera"},
          {"max_model_len", service.limits().context_tokens_max}};
}

}  // namespace

void AddStatusRoutes(const RouteContext& context, Router& router) {
  const absl::Time started = context.service.clock().Now();
  const auto models = AtOnce([context, started](const HttpRequest&) {
    return HttpResponse{.body =
                            Dump({{"object", "list"}, {"data", Json::array({ModelJson(context.service, started)})}})};
  });
  router.Add("GET", "/v1/models", models);
  router.Add("GET", "/models", models);
  router.Add("GET", std::string(kModelPath), AtOnce([context, started](const HttpRequest& request) {
               const std::string name = request.path.substr(kModelPath.size());
               if (absl::Status status = CheckModel(name, context.service.config()); !status.ok()) {
                 return ErrorResponse(status);
               }
               return HttpResponse{.body = Dump(ModelJson(context.service, started))};
             }));
  // Alive: the process answers. Whether it can serve is /ready.
  router.Add(
      "GET", "/health",
      AtOnce([](const HttpRequest&) { return HttpResponse{.body = R"({"status":"ok"})"}; }, Asks::kAgainAndAgain),
      Router::Access::kOpen);
  router.Add("GET", "/ready",
             AtOnce(
                 [context](const HttpRequest&) {
                   const absl::Status status = context.service.Readiness();
                   if (status.ok()) return HttpResponse{.body = R"({"status":"ready"})"};
                   return HttpResponse{
                       .status = 503,
                       .body = Dump({{"status", "not ready"}, {"reason", std::string(status.message())}}),
                       .headers = {{"Retry-After", "1"}}};
                 },
                 Asks::kAgainAndAgain),
             Router::Access::kOpen);
  router.Add("GET", "/metrics",
             AtOnce(
                 [context](const HttpRequest&) {
                   return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                                       .body = context.metrics.Scrape()};
                 },
                 Asks::kAgainAndAgain));
}

void AddRoutes(const RouteContext& context, Router& router) {
  AddCompletionRoutes(context, router);
  AddTokenizeRoutes(context, router);
  AddStatusRoutes(context, router);
}

}  // namespace tessera
