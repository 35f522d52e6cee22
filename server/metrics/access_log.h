#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "base/clock.h"
#include "server/metrics/server_metrics.h"

namespace spdlog {
class logger;
}

namespace tessera {

// What is known of one request from its arrival on. Whoever works on it keeps a reference; when the last one lets go,
// the line is written: once, however the request ended. Each field is set by one of them and read at the end only.
// Never holds what was asked or answered, nor a key.
struct AccessRecord {
  AccessRecord(std::shared_ptr<spdlog::logger> to, const Clock& of);
  ~AccessRecord();
  AccessRecord(const AccessRecord&) = delete;
  AccessRecord& operator=(const AccessRecord&) = delete;

  std::string id;
  std::string client;  // address and port
  std::string method;
  std::string route;
  std::string status;                     // HTTP's or gRPC's; empty: no answer was begun
  std::optional<RequestSummary> summary;  // of a generation
  bool is_probe = false;                  // asks for health or metrics, again and again: written at debug level

 private:
  const std::shared_ptr<spdlog::logger> logger_;  // null: nothing is written
  const Clock& clock_;
  const absl::Time arrival_;
};

// One line for each request that is over, at info level:
//   request id=… client=… method=… route=… status=… total_ms=… and, of a generation,
//   end=… prompt_tokens=… completion_tokens=… queue_ms=… ttft_ms=…
// What is not known is "-". No value has a space in it, whatever a client sends. Thread-safe.
class AccessLog {
 public:
  // `logger` null: no log. `clock` outlives the log and its records.
  AccessLog(std::shared_ptr<spdlog::logger> logger, const Clock& clock) : logger_(std::move(logger)), clock_(clock) {}

  std::shared_ptr<AccessRecord> Begin() const { return std::make_shared<AccessRecord>(logger_, clock_); }

 private:
  const std::shared_ptr<spdlog::logger> logger_;
  const Clock& clock_;
};

}  // namespace tessera
