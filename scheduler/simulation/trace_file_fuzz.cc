// Any bytes as a trace, in both formats: an error or requests that a simulation can run.
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>

#include "base/check.h"
#include "scheduler/simulation/trace_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const tessera::TraceFormat format : {tessera::TraceFormat::kCsv, tessera::TraceFormat::kJsonLines}) {
    std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
    const absl::StatusOr<tessera::Trace> trace = tessera::ReadTrace(in, format);
    if (!trace.ok()) continue;
    for (const tessera::TraceRequest& request : trace->requests) {
      TESSERA_CHECK(request.prompt_tokens >= 1 && request.output_tokens >= 1);
      TESSERA_CHECK(request.max_tokens >= request.output_tokens);
      TESSERA_CHECK(request.prefix_tokens >= 0 && request.prefix_tokens <= request.prompt_tokens);
      TESSERA_CHECK(static_cast<size_t>(request.client) < trace->clients.size());
    }
  }
  return 0;
}
