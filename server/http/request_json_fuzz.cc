// Bodies of requests from strangers: whatever they are, they are parsed or refused, with a message that names a place.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "server/http/api_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const tessera::JsonLimits limits{.values_max = 1 << 16};
  for (const absl::Status& status :
       {tessera::ParseChatRequest(body, limits).status(), tessera::ParseCompletionRequest(body, limits).status()}) {
    TESSERA_CHECK(status.ok() || status.message().find(':') != absl::string_view::npos);
  }
  return 0;
}
