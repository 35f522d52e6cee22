#include "server/http/router.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/http/error_body.h"

namespace tessera {
namespace {

// HEAD is answered like GET, without the body by Connection.
const std::string& LookupName(const std::string& method) {
  static const std::string get = "GET";
  return method == "HEAD" ? get : method;
}

}  // namespace

void Router::Add(std::string method, std::string path, HttpHandler handler, Access access) {
  routes_[std::move(path)][std::move(method)] = {std::move(handler), access};
}

const Router::Methods* Router::Find(const std::string& path) const {
  if (const auto exact = routes_.find(path); exact != routes_.end()) return &exact->second;
  for (const auto& [prefix, methods] : routes_) {
    if (prefix.ends_with('/') && path.starts_with(prefix) && path.size() > prefix.size()) return &methods;
  }
  return nullptr;
}

std::shared_ptr<Responder> Router::Handle(HttpRequest request, std::shared_ptr<Exchange> exchange) const {
  const Methods* methods = Find(request.path);
  const Route* route = nullptr;
  if (methods != nullptr) {
    const auto found = methods->find(LookupName(request.method));
    if (found != methods->end()) route = &found->second;
  }
  const bool is_open = route != nullptr && route->access == Access::kOpen;
  if (!is_open && !keys_.Admits(request.authorization)) {
    HttpResponse response = ErrorResponse(absl::UnauthenticatedError("wanted a valid 'Authorization: Bearer KEY'"));
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    exchange->Respond(std::move(response));
    return nullptr;
  }
  if (methods == nullptr) {
    exchange->Respond(ErrorResponse({.status = 404,
                                     .message = absl::StrFormat("no such route: %s", request.path.substr(0, 256)),
                                     .type = "invalid_request_error",
                                     .code = "route_not_found"}));
    return nullptr;
  }
  if (route == nullptr) {
    const std::string allowed =
        absl::StrJoin(*methods, ", ", [](std::string* out, const auto& entry) { out->append(entry.first); });
    HttpResponse response =
        ErrorResponse({.status = 405,
                       .message = absl::StrFormat("method: got %s, wanted %s", request.method, allowed),
                       .type = "invalid_request_error",
                       .code = "method_not_allowed"});
    response.headers.emplace_back("Allow", allowed);
    exchange->Respond(std::move(response));
    return nullptr;
  }
  return route->handler(std::move(request), std::move(exchange));
}

}  // namespace tessera
