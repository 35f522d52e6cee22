#include "server/metrics/server_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "server/metrics/engine_collector.h"
#include "server/metrics/paired_histogram.h"

namespace tessera {
namespace {

using Bounds = prometheus::Histogram::BucketBoundaries;
using Labels = std::map<std::string, std::string>;

// The bounds of vLLM's histograms, so that its dashboards and alerts fit.
Bounds FirstTokenSeconds() {
  return {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
          1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
}
Bounds TokenGapSeconds() {
  return {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
}
Bounds RequestSeconds() {
  return {0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
}

// 1, 2, 5, 10, … up to the context length.
Bounds TokenCounts(int64_t context_tokens_max) {
  Bounds bounds;
  for (int64_t decade = 1; decade <= context_tokens_max; decade *= 10) {
    for (const int64_t step : {1, 2, 5}) {
      if (decade * step <= context_tokens_max) bounds.push_back(static_cast<double>(decade * step));
    }
  }
  return bounds;
}

// vLLM's finished_reason of a request that reached the engine.
std::string_view FinishedReason(EndState end) {
  switch (end) {
    case EndState::kStop:
    case EndState::kToolCalls:
      return "stop";
    case EndState::kLength:
      return "length";
    case EndState::kCancelled:
    case EndState::kSlowClient:
    case EndState::kDeadline:
      return "abort";
    default:
      return "error";
  }
}

}  // namespace

std::string_view ToString(EndState state) {
  switch (state) {
    case EndState::kStop:
      return "stop";
    case EndState::kLength:
      return "length";
    case EndState::kToolCalls:
      return "tool_calls";
    case EndState::kCancelled:
      return "cancelled";
    case EndState::kSlowClient:
      return "slow_client";
    case EndState::kDeadline:
      return "deadline";
    case EndState::kRefused:
      return "refused";
    case EndState::kOverload:
      return "overload";
    case EndState::kError:
      return "error";
  }
  TESSERA_CHECK(false);
}

struct ServerMetrics::Impl {
  Impl(const std::string& model_name, EnginePort& engine)
      : labels{{"model_name", model_name}, {"engine", "0"}},
        token_counts(TokenCounts(engine.limits().context_tokens_max)),
        engine_collector(model_name, engine) {
    for (size_t i = 0; i < kNumEndStates; ++i) {
      ended[i] = &ended_family.Add({{"end", std::string(ToString(static_cast<EndState>(i)))}});
    }
    for (const char* reason : {"stop", "length", "abort", "error"}) success_family.Add({{"finished_reason", reason}});
  }

  PairedHistogram Pair(const char* own_name, const char* vllm_name, const char* help, const Bounds& bounds) {
    return PairedHistogram(registry, labels, own_name, vllm_name, help, bounds);
  }
  prometheus::Family<prometheus::Counter>& Counters(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Labels(labels).Register(registry);
  }
  prometheus::Gauge& Gauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Labels(labels).Register(registry).Add({});
  }

  Labels labels;
  Bounds token_counts;
  EngineCollector engine_collector;
  std::vector<const prometheus::Collectable*> shown;
  prometheus::Registry registry;

  prometheus::Counter& started = Counters("tessera_requests_started_total", "Requests that arrived").Add({});
  prometheus::Family<prometheus::Counter>& ended_family =
      Counters("tessera_requests_ended_total", "Requests by how they ended");
  std::array<prometheus::Counter*, kNumEndStates> ended{};
  prometheus::Family<prometheus::Counter>& success_family =
      Counters("vllm:request_success_total", "Requests that the engine took, by how they ended");
  prometheus::Family<prometheus::Counter>& http_responses =
      Counters("tessera_http_responses_total", "HTTP responses by status");
  prometheus::Gauge& active = Gauge("tessera_requests_active", "Requests that clients wait for");
  prometheus::Gauge& connections = Gauge("tessera_http_connections", "Open HTTP connections");

  PairedHistogram first_token = Pair("tessera_time_to_first_token_seconds", "vllm:time_to_first_token_seconds",
                                     "From arrival to the first token", FirstTokenSeconds());
  PairedHistogram token_gap = Pair("tessera_inter_token_latency_seconds", "vllm:inter_token_latency_seconds",
                                   "Between two deliveries of tokens to one choice", TokenGapSeconds());
  PairedHistogram total =
      Pair("tessera_request_seconds", "vllm:e2e_request_latency_seconds", "From arrival to end", RequestSeconds());
  PairedHistogram queue = Pair("tessera_request_queue_seconds", "vllm:request_queue_time_seconds",
                               "From arrival to the first step", RequestSeconds());
  PairedHistogram prefill = Pair("tessera_request_prefill_seconds", "vllm:request_prefill_time_seconds",
                                 "From the first step to the first token", RequestSeconds());
  PairedHistogram decode = Pair("tessera_request_decode_seconds", "vllm:request_decode_time_seconds",
                                "From the first token to the end", RequestSeconds());
  PairedHistogram prompt_tokens =
      Pair("tessera_request_prompt_tokens", "vllm:request_prompt_tokens", "Prompt tokens of a request", token_counts);
  PairedHistogram generated_tokens = Pair("tessera_request_generated_tokens", "vllm:request_generation_tokens",
                                          "Generated tokens of a request, all choices", token_counts);
  PairedHistogram choices =
      Pair("tessera_request_choices", "vllm:request_params_n", "Choices of a request", {1, 2, 5, 10, 20, 50, 100});
  PairedHistogram max_tokens =
      Pair("tessera_request_max_tokens", "vllm:request_params_max_tokens", "max_tokens of a request", token_counts);
};

ServerMetrics::ServerMetrics(const std::string& model_name, EnginePort& engine)
    : impl_(std::make_unique<Impl>(model_name, engine)) {}
ServerMetrics::~ServerMetrics() = default;

void ServerMetrics::OnRequestStarted() {
  impl_->started.Increment();
  impl_->active.Increment();
}

void ServerMetrics::OnRequestEnded(const RequestSummary& summary) {
  impl_->active.Decrement();
  impl_->ended[static_cast<size_t>(summary.end)]->Increment();
  if (!summary.is_admitted) return;
  impl_->success_family.Add({{"finished_reason", std::string(FinishedReason(summary.end))}}).Increment();
  impl_->total.Observe(absl::ToDoubleSeconds(summary.ended - summary.arrival));
  if (summary.started != absl::InfinitePast()) {
    impl_->queue.Observe(absl::ToDoubleSeconds(summary.started - summary.arrival));
  }
  if (summary.first_token != absl::InfinitePast()) {
    impl_->first_token.Observe(absl::ToDoubleSeconds(summary.first_token - summary.arrival));
    impl_->decode.Observe(absl::ToDoubleSeconds(summary.ended - summary.first_token));
    if (summary.started != absl::InfinitePast()) {
      impl_->prefill.Observe(absl::ToDoubleSeconds(summary.first_token - summary.started));
    }
  }
  impl_->prompt_tokens.Observe(static_cast<double>(summary.num_prompt_tokens));
  impl_->generated_tokens.Observe(static_cast<double>(summary.num_generated_tokens));
  impl_->choices.Observe(summary.num_choices);
  impl_->max_tokens.Observe(static_cast<double>(summary.max_tokens));
}

void ServerMetrics::OnTokenGap(absl::Duration gap) { impl_->token_gap.Observe(absl::ToDoubleSeconds(gap)); }

void ServerMetrics::OnHttpResponse(int status_code) {
  impl_->http_responses.Add({{"code", absl::StrCat(status_code)}}).Increment();
}

void ServerMetrics::OnConnectionOpened() { impl_->connections.Increment(); }
void ServerMetrics::OnConnectionClosed() { impl_->connections.Decrement(); }

void ServerMetrics::Show(const prometheus::Collectable& more) { impl_->shown.push_back(&more); }

std::string ServerMetrics::Scrape() const {
  std::vector<prometheus::MetricFamily> families = impl_->registry.Collect();
  const auto add = [&families](std::vector<prometheus::MetricFamily> collected) {
    for (prometheus::MetricFamily& family : collected) families.push_back(std::move(family));
  };
  add(impl_->engine_collector.Collect());
  for (const prometheus::Collectable* more : impl_->shown) add(more->Collect());
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace tessera
