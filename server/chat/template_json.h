#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tessera {

// JSON text as a Jinja template's `tojson` writes it in HF transformers (Python's json.dumps with ensure_ascii off): a
// space after each ',' and ':', keys in the order given, text unescaped but for quotes, backslashes and control
// characters. Numbers keep their spelling. Nesting at most 128, no recursion.
absl::StatusOr<std::string> FormatTemplateJson(std::string_view json);

}  // namespace tessera
