#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "server/http/exchange.h"
#include "server/limits/api_keys.h"

namespace tessera {

// Starts the answer to a request, on its connection's strand; null if it has answered already.
using HttpHandler = std::function<std::shared_ptr<Responder>(HttpRequest, std::shared_ptr<Exchange>)>;

// Chooses the handler by method and exact path, and guards it: without a good key nothing is reachable but the routes
// that were added as open, whether it exists or not. Immutable once it serves.
class Router {
 public:
  enum class Access { kGuarded, kOpen };

  explicit Router(ApiKeys keys) : keys_(std::move(keys)) {}

  // A path that ends in '/' takes everything below it.
  void Add(std::string method, std::string path, HttpHandler handler, Access access = Access::kGuarded);

  std::shared_ptr<Responder> Handle(HttpRequest request, std::shared_ptr<Exchange> exchange) const;

 private:
  struct Route {
    HttpHandler handler;
    Access access = Access::kGuarded;
  };
  using Methods = std::map<std::string, Route>;

  const Methods* Find(const std::string& path) const;

  ApiKeys keys_;
  std::map<std::string, Methods> routes_;
};

}  // namespace tessera
