#pragma once

#include <prometheus/collectable.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "scheduler/contract/engine_port.h"

namespace tessera {

// How a client's request ended. Each request ends in exactly one of these.
enum class EndState {
  kStop,
  kLength,
  kToolCalls,
  kCancelled,   // the client went away or cancelled
  kSlowClient,  // the client did not read its events and was cut
  kDeadline,
  kRefused,   // a bad request: nothing was run
  kOverload,  // a queue was full, or the server is not ready or draining
  kError,
};
inline constexpr size_t kNumEndStates = 9;
std::string_view ToString(EndState state);

// What is known of a request at its end.
struct RequestSummary {
  EndState end = EndState::kError;
  bool is_admitted = false;  // the engine took it
  int64_t num_prompt_tokens = 0;
  int64_t num_generated_tokens = 0;  // of all choices
  int32_t num_choices = 1;
  int64_t max_tokens = 0;
  absl::Time arrival = absl::InfinitePast();
  absl::Time started = absl::InfinitePast();      // its first step was planned; InfinitePast: never
  absl::Time first_token = absl::InfinitePast();  // InfinitePast: never
  absl::Time ended = absl::InfinitePast();
};

// Counts what clients see, and shows it beside what the engine says of itself, as Prometheus text: `tessera_…` names,
// and those which dashboards and autoscalers made for vLLM read. Gauges are read from the engine at each scrape, so
// they are true without traffic. Thread-safe.
class ServerMetrics {
 public:
  // `engine` must outlive this object.
  ServerMetrics(const std::string& model_name, EnginePort& engine);
  ~ServerMetrics();

  void OnRequestStarted();
  void OnRequestEnded(const RequestSummary& summary);  // once for each OnRequestStarted
  void OnTokenGap(absl::Duration gap);                 // between two deliveries to one choice
  void OnHttpResponse(int status_code);
  void OnConnectionOpened();
  void OnConnectionClosed();

  // Shows `more` as well; it must outlive this object. Before the first Scrape.
  void Show(const prometheus::Collectable& more);

  // The exposition text.
  std::string Scrape() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera
