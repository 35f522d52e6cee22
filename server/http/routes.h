#pragma once

#include <string>

#include "server/http/router.h"
#include "server/metrics/server_metrics.h"
#include "server/session/generation_service.h"
#include "server/session/work_pool.h"

namespace tessera {

// What the routes answer with; everything outlives the router.
struct RouteContext {
  GenerationService& service;
  ServerMetrics& metrics;
  WorkPool& work;
  std::string system_fingerprint;
};

// All routes of the HTTP API: docs/api.md lists them.
void AddRoutes(const RouteContext& context, Router& router);

// The parts of it.
void AddCompletionRoutes(const RouteContext& context, Router& router);  // chat and text completions
void AddTokenizeRoutes(const RouteContext& context, Router& router);
void AddStatusRoutes(const RouteContext& context, Router& router);  // models, health, ready, metrics

}  // namespace tessera
