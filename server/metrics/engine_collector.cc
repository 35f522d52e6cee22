#include "server/metrics/engine_collector.h"

#include <array>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tessera {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Collects families whose one sample has the same labels.
class FamilyList {
 public:
  explicit FamilyList(std::vector<ClientMetric::Label> labels) : labels_(std::move(labels)) {}

  void Gauge(const char* name, const char* help, double value) {
    Add(name, help, MetricType::Gauge).gauge.value = value;
  }
  void Counter(const char* name, const char* help, double value) {
    Add(name, help, MetricType::Counter).counter.value = value;
  }
  // One sample for each value, labelled with its index.
  template <size_t N>
  void CounterByIndex(const char* name, const char* help, const char* label, const std::array<int64_t, N>& values) {
    Add(name, help, MetricType::Counter);
    std::vector<ClientMetric>& metrics = families_.back().metric;
    metrics.assign(N, ClientMetric{.label = labels_});
    for (size_t i = 0; i < N; ++i) {
      metrics[i].label.push_back({label, absl::StrCat(i)});
      metrics[i].counter.value = static_cast<double>(values[i]);
    }
  }
  void Label(const char* name, std::string value) {
    families_.back().metric.back().label.push_back({name, std::move(value)});
  }
  // `counts[i]` are the samples of at most bounds[i], those of smaller bounds not included; the last has no bound.
  template <size_t N>
  void Histogram(const char* name, const char* help, const std::array<int64_t, N>& bounds,
                 const std::array<int64_t, N + 1>& counts, double sum) {
    ClientMetric::Histogram& histogram = Add(name, help, MetricType::Histogram).histogram;
    uint64_t total = 0;
    for (size_t i = 0; i <= N; ++i) {
      total += static_cast<uint64_t>(counts[i]);
      const double bound = i < N ? static_cast<double>(bounds[i]) : std::numeric_limits<double>::infinity();
      histogram.bucket.push_back({.cumulative_count = total, .upper_bound = bound});
    }
    histogram.sample_count = total;
    histogram.sample_sum = sum;
  }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  ClientMetric& Add(const char* name, const char* help, MetricType type) {
    families_.push_back({.name = name, .help = help, .type = type, .metric = {ClientMetric{.label = labels_}}});
    return families_.back().metric.back();
  }

  std::vector<ClientMetric::Label> labels_;
  std::vector<MetricFamily> families_;
};

void AddOwnNames(const EngineStatus& status, const EngineLimits& limits, FamilyList& list) {
  list.Gauge("tessera_engine_ready", "1 when the engine can serve", status.ready ? 1 : 0);
  list.Gauge("tessera_requests_waiting", "Requests accepted and not running", status.num_waiting);
  list.Gauge("tessera_tokens_waiting", "Prompt and generated tokens of the waiting requests",
             static_cast<double>(status.num_waiting_tokens));
  list.Gauge("tessera_requests_running", "Requests running", status.num_running);
  list.Gauge("tessera_cache_blocks_used", "Cache blocks that sequences hold, over all ranks",
             static_cast<double>(status.num_blocks_used));
  list.Gauge("tessera_cache_blocks", "Cache blocks, over all ranks", static_cast<double>(status.num_blocks_total));
  list.Gauge("tessera_engine_ranks", "Ranks of the worker group", limits.num_ranks);
  list.Counter("tessera_engine_steps_total", "Steps run", static_cast<double>(status.num_steps));
  list.Counter("tessera_preemptions_total", "Sequences preempted", static_cast<double>(status.num_preemptions));
  list.Counter("tessera_prompt_tokens_computed_total", "Prompt tokens computed, recomputed ones not included",
               static_cast<double>(status.num_prompt_tokens));
  list.Counter("tessera_prompt_tokens_cached_total", "Prompt tokens found in the prefix cache",
               static_cast<double>(status.num_cached_prompt_tokens));
  list.Counter("tessera_prefix_cache_collisions_total", "Look-ups that met the key of another text: harmless misses",
               static_cast<double>(status.num_prefix_cache_collisions));
  list.Counter("tessera_drafts_total", "Drafts verified, one for a sequence in a step",
               static_cast<double>(status.num_drafts));
  list.Counter("tessera_draft_tokens_total", "Tokens of the drafts verified",
               static_cast<double>(status.num_draft_tokens));
  list.CounterByIndex("tessera_draft_tokens_accepted_total", "Of those, accepted, by position in the draft", "position",
                      status.num_accepted_by_position);
  list.Counter("tessera_generated_tokens_total", "Tokens generated", static_cast<double>(status.num_generated_tokens));
  list.Counter("tessera_requests_failed_numeric_total", "Requests ended because their logits were not finite",
               static_cast<double>(status.num_failed_numeric));
  list.Counter("tessera_requests_refused_total", "Requests that the engine refused",
               static_cast<double>(status.num_refused));
  list.Histogram("tessera_step_tokens", "Tokens that one step ran on all ranks", kStepTokensBounds,
                 status.num_steps_by_tokens, static_cast<double>(status.num_step_tokens));
  if (status.last_progress != absl::InfinitePast()) {
    list.Gauge("tessera_engine_last_progress_seconds", "End of the last step, Unix time",
               absl::ToDoubleSeconds(status.last_progress - absl::UnixEpoch()));
  }
}

void AddVllmNames(const EngineStatus& status, const EngineLimits& limits, FamilyList& list) {
  const double usage = status.num_blocks_total > 0
                           ? static_cast<double>(status.num_blocks_used) / static_cast<double>(status.num_blocks_total)
                           : 0;
  const double prompt_tokens = static_cast<double>(status.num_prompt_tokens + status.num_cached_prompt_tokens);
  list.Gauge("vllm:num_requests_running", "Requests running", status.num_running);
  list.Gauge("vllm:num_requests_waiting", "Requests waiting", status.num_waiting);
  list.Gauge("vllm:kv_cache_usage_perc", "Used part of the cache, 0 to 1", usage);
  list.Gauge("vllm:gpu_cache_usage_perc", "Used part of the cache, 0 to 1 (older name)", usage);
  list.Gauge("vllm:cache_config_info", "Cache configuration in the labels", 1);
  list.Label("block_size", absl::StrCat(limits.block_tokens));
  list.Label("num_gpu_blocks", absl::StrCat(limits.num_blocks_per_rank));
  list.Counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache",
               static_cast<double>(status.num_prefix_cache_queries));
  list.Counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache",
               static_cast<double>(status.num_prefix_cache_hits));
  list.Counter("vllm:spec_decode_num_drafts_total", "Drafts verified", static_cast<double>(status.num_drafts));
  list.Counter("vllm:spec_decode_num_draft_tokens_total", "Tokens of the drafts verified",
               static_cast<double>(status.num_draft_tokens));
  const auto& accepted = status.num_accepted_by_position;
  list.Counter("vllm:spec_decode_num_accepted_tokens_total", "Draft tokens accepted",
               static_cast<double>(std::accumulate(accepted.begin(), accepted.end(), int64_t{0})));
  list.CounterByIndex("vllm:spec_decode_num_accepted_tokens_per_pos_total", "Draft tokens accepted, by position",
                      "position", accepted);
  list.Counter("vllm:num_preemptions_total", "Sequences preempted", static_cast<double>(status.num_preemptions));
  list.Counter("vllm:prompt_tokens_total", "Prompt tokens processed, found in the cache or computed", prompt_tokens);
  list.Counter("vllm:generation_tokens_total", "Tokens generated", static_cast<double>(status.num_generated_tokens));
  list.Histogram("vllm:iteration_tokens_total", "Tokens of one engine step", kStepTokensBounds,
                 status.num_steps_by_tokens, static_cast<double>(status.num_step_tokens));
  list.Counter("vllm:corrupted_requests_total", "Requests whose logits were not finite",
               static_cast<double>(status.num_failed_numeric));
}

}  // namespace

EngineCollector::EngineCollector(std::string model_name, EnginePort& engine)
    : model_name_(std::move(model_name)), engine_(engine) {}

std::vector<MetricFamily> EngineCollector::Collect() const {
  const EngineStatus status = engine_.Status();
  const EngineLimits limits = engine_.limits();
  FamilyList list({{"engine", "0"}, {"model_name", model_name_}});
  AddOwnNames(status, limits, list);
  AddVllmNames(status, limits, list);
  return list.Take();
}

}  // namespace tessera
