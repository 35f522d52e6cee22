#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace tessera {

// Sets up spdlog's default logger on stderr; call once, first thing in main. `level` is one of trace, debug, info,
// warn, error, off; `format` is text or json (one object a line: time, level, message).
absl::Status SetUpLog(std::string_view level, std::string_view format);

}  // namespace tessera
