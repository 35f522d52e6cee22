#include "server/server_config.h"

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {

absl::Status ServerConfig::Validate() const {
  TESSERA_RETURN_IF_ERROR(service.Validate());
  TESSERA_RETURN_IF_ERROR(http.Validate());
  if (num_prompt_threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("num_prompt_threads: got %d, wanted at least 1", num_prompt_threads));
  }
  if (prompts_waiting_max < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("prompts_waiting_max: got %d, wanted at least 1", prompts_waiting_max));
  }
  for (const std::string& key : api_keys) {
    if (key.empty()) return absl::InvalidArgumentError("api_keys: got an empty key");
  }
  return absl::OkStatus();
}

}  // namespace tessera
