#pragma once

#include "absl/status/status.h"
#include "server/http/field_reader.h"
#include "server/session/generate_request.h"

namespace tessera {

// The fields that chat and text completions share: model, limits, sampling, stops, n, priority.
void ReadSharedFields(FieldReader& reader, GenerateRequest& request);

// Refuses what would bind the answer to something that cannot be kept yet, by the name of the field: a promise is never
// dropped silently. Fields that only hint, and unknown ones, are ignored.
absl::Status RefuseUnsupported(const Json& body);

// `stream`, and `stream_options.include_usage`.
struct StreamFields {
  bool stream = false;
  bool include_usage = false;
};
StreamFields ReadStreamFields(FieldReader& reader);

}  // namespace tessera
