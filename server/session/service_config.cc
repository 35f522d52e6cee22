#include "server/session/service_config.h"

#include "absl/strings/str_format.h"

namespace tessera {

absl::Status ServiceConfig::Validate() const {
  if (model_name.empty()) return absl::InvalidArgumentError("model_name: got '', wanted a name");
  if (!(default_temperature >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("default_temperature: got %g, wanted 0 or more", default_temperature));
  }
  if (!(default_top_p > 0 && default_top_p <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("default_top_p: got %g, wanted more than 0, at most 1", default_top_p));
  }
  if (choices_max < 1) {
    return absl::InvalidArgumentError(absl::StrFormat("choices_max: got %d, wanted at least 1", choices_max));
  }
  if (stop_strings_max < 1) {
    return absl::InvalidArgumentError(absl::StrFormat("stop_strings_max: got %d, wanted at least 1", stop_strings_max));
  }
  if (client_buffer_bytes_max < 4096) {
    return absl::InvalidArgumentError(
        absl::StrFormat("client_buffer_bytes_max: got %d, wanted at least 4096", client_buffer_bytes_max));
  }
  if (num_stream_threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("num_stream_threads: got %d, wanted at least 1", num_stream_threads));
  }
  return absl::OkStatus();
}

}  // namespace tessera
