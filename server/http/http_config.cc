#include "server/http/http_config.h"

#include "absl/strings/str_format.h"

namespace tessera {

absl::Status HttpConfig::Validate() const {
  const auto at_least = [](const char* field, int64_t got, int64_t wanted) {
    if (got >= wanted) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrFormat("%s: got %d, wanted at least %d", field, got, wanted));
  };
  for (const absl::Status& status :
       {at_least("num_io_threads", num_io_threads, 1), at_least("connections_max", connections_max, 1),
        at_least("header_bytes_max", header_bytes_max, 1024), at_least("body_bytes_max", body_bytes_max, 1024),
        at_least("bodies_bytes_max", bodies_bytes_max, body_bytes_max)}) {
    if (!status.ok()) return status;
  }
  for (const absl::Duration timeout : {receive_timeout, idle_timeout, write_timeout, keep_alive_interval}) {
    if (timeout <= absl::ZeroDuration()) {
      return absl::InvalidArgumentError("timeouts of the HTTP server: got 0 or less, wanted more");
    }
  }
  return absl::OkStatus();
}

}  // namespace tessera
