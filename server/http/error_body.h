#pragma once

#include <string>

#include "absl/status/status.h"
#include "server/http/http_message.h"

namespace tessera {

// An error as OpenAI clients read it.
struct ApiError {
  int status = 500;
  std::string message;
  std::string type;
  std::string param;  // the field at fault; empty: null
  std::string code;   // empty: null
};

// By the status code; the field at fault is what stands before the first ':' of the message, if it looks like one.
ApiError ToApiError(const absl::Status& status);

// {"error": {message, type, param, code}}
std::string ErrorJson(const ApiError& error);

// With Retry-After where trying again makes sense.
HttpResponse ErrorResponse(const ApiError& error);
HttpResponse ErrorResponse(const absl::Status& status);

}  // namespace tessera
