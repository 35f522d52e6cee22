#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "server/limits/json_parser.h"
#include "server/session/generate_request.h"

namespace tessera {

// A request for a completion, and how its answer is to be sent. docs/api.md lists the fields and their rules.
struct ApiRequest {
  GenerateRequest generate;
  bool stream = false;
  bool include_usage = false;  // an extra event with the usage at the end of a stream
};

// The JSON object of a request's body.
absl::StatusOr<Json> ParseBody(std::string_view body, const JsonLimits& limits = {});

// Body of POST /v1/chat/completions.
absl::StatusOr<ApiRequest> ParseChatRequest(std::string_view body, const JsonLimits& limits = {});

// Body of POST /v1/completions.
absl::StatusOr<ApiRequest> ParseCompletionRequest(std::string_view body, const JsonLimits& limits = {});

// `messages`, `tools` and the fields beside them that shape a chat prompt; also of POST /tokenize.
absl::StatusOr<ChatPrompt> ParseChatPrompt(const Json& body);

}  // namespace tessera
