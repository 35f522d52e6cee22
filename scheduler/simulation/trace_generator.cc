#include "scheduler/simulation/trace_generator.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "scheduler/simulation/draws.h"

namespace tessera {
namespace {

absl::Status CheckNumber(const char* field, double got, double min, double max) {
  if (got >= min && got <= max) return absl::OkStatus();  // written so that NaN fails
  return absl::InvalidArgumentError(absl::StrFormat("%s: got %g, wanted %g to %g", field, got, min, max));
}

int32_t DrawClient(const std::vector<double>& weights, Draws& draws) {
  double left = draws.Uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t i = 0; i + 1 < weights.size(); ++i) {
    if (left < weights[i]) return static_cast<int32_t>(i);
    left -= weights[i];
  }
  return static_cast<int32_t>(weights.size() - 1);
}

TraceRequest DrawRequest(const TraceRecipe& recipe, Draws& draws) {
  TraceRequest request;
  const int32_t prompt_max = recipe.context_tokens_max - 1;
  request.prompt_tokens = recipe.prompt.Draw(draws, prompt_max);
  request.output_tokens = recipe.output.Draw(draws, prompt_max);
  if (draws.Uniform() < recipe.prefix_share) {
    request.prefix = draws.Below(recipe.num_prefixes);
    request.prefix_tokens = std::min(recipe.prefix_tokens, prompt_max - 1);
    request.prompt_tokens = std::min(request.prompt_tokens + request.prefix_tokens, prompt_max);
  }
  request.output_tokens = std::min(request.output_tokens, recipe.context_tokens_max - request.prompt_tokens);
  request.max_tokens = request.output_tokens;
  request.client = DrawClient(recipe.client_weights, draws);
  if (draws.Uniform() < recipe.cancel_share) request.cancel_after = draws.Uniform() * recipe.cancel_within;
  return request;
}

}  // namespace

absl::Status Validate(const TraceRecipe& recipe) {
  TESSERA_RETURN_IF_ERROR(CheckNumber("requests", recipe.num_requests, 1, 1e8));
  TESSERA_RETURN_IF_ERROR(CheckNumber("rate", recipe.requests_per_second, 0, 1e9));
  TESSERA_RETURN_IF_ERROR(CheckNumber("context", recipe.context_tokens_max, 3, INT32_MAX));
  TESSERA_RETURN_IF_ERROR(CheckNumber("prefix-share", recipe.prefix_share, 0, 1));
  TESSERA_RETURN_IF_ERROR(CheckNumber("prefixes", recipe.num_prefixes, 1, INT32_MAX));
  TESSERA_RETURN_IF_ERROR(CheckNumber("prefix-tokens", recipe.prefix_tokens, 1, INT32_MAX));
  TESSERA_RETURN_IF_ERROR(CheckNumber("cancel-share", recipe.cancel_share, 0, 1));
  if (recipe.client_weights.empty()) return absl::InvalidArgumentError("clients: got none, wanted at least 1");
  for (const double weight : recipe.client_weights) {
    if (weight > 0 && std::isfinite(weight)) continue;
    return absl::InvalidArgumentError(absl::StrFormat("clients: got the weight %g, wanted more than 0", weight));
  }
  return absl::OkStatus();
}

Trace GenerateTrace(const TraceRecipe& recipe) {
  TESSERA_CHECK_OK(Validate(recipe));
  Draws draws(recipe.seed);
  Trace trace;
  for (size_t i = 0; i < recipe.client_weights.size(); ++i) trace.clients.push_back(absl::StrFormat("client-%d", i));
  absl::Duration now;
  for (int32_t i = 0; i < recipe.num_requests; ++i) {
    if (recipe.requests_per_second > 0) now += absl::Seconds(draws.Exponential(1 / recipe.requests_per_second));
    trace.requests.push_back(DrawRequest(recipe, draws));
    trace.requests.back().arrival = now;
  }
  return trace;
}

}  // namespace tessera
