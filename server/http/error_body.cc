#include "server/http/error_body.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/strings/ascii.h"

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

// "messages[2].content: got …" → "messages[2].content"
std::string FieldOf(std::string_view message) {
  const size_t colon = message.find(':');
  if (colon == std::string_view::npos || colon == 0) return "";
  const std::string_view name = message.substr(0, colon);
  const auto is_name_char = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("_.[]").find(c) != std::string_view::npos;
  };
  return std::all_of(name.begin(), name.end(), is_name_char) ? std::string(name) : "";
}

Json NullIfEmpty(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

ApiError ToApiError(const absl::Status& status) {
  ApiError error{.message = std::string(status.message()), .type = "invalid_request_error"};
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      error.status = 400;
      error.code = "invalid_value";
      break;
    case absl::StatusCode::kUnimplemented:
      error.status = 400;
      error.code = "unsupported_value";
      break;
    case absl::StatusCode::kOutOfRange:
      error.status = 400;
      error.code = "context_length_exceeded";
      break;
    case absl::StatusCode::kUnauthenticated:
      error.status = 401;
      error.code = "invalid_api_key";
      return error;
    case absl::StatusCode::kNotFound:
      error.status = 404;
      error.code = "model_not_found";
      break;
    case absl::StatusCode::kResourceExhausted:
      error.status = 429;
      error.type = "rate_limit_error";
      error.code = "overloaded";
      return error;
    case absl::StatusCode::kUnavailable:
      error.status = 503;
      error.type = "service_unavailable_error";
      error.code = "unavailable";
      return error;
    case absl::StatusCode::kDeadlineExceeded:
      error.status = 504;
      error.type = "timeout_error";
      error.code = "deadline_exceeded";
      return error;
    default:
      error.status = 500;
      error.type = "server_error";
      error.code = "internal_error";
      return error;
  }
  error.param = FieldOf(error.message);
  return error;
}

std::string ErrorJson(const ApiError& error) {
  const Json json = {{"error",
                      {{"message", error.message},
                       {"type", error.type},
                       {"param", NullIfEmpty(error.param)},
                       {"code", NullIfEmpty(error.code)}}}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HttpResponse ErrorResponse(const ApiError& error) {
  HttpResponse response{.status = error.status, .body = ErrorJson(error)};
  if (error.status == 429 || error.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

HttpResponse ErrorResponse(const absl::Status& status) { return ErrorResponse(ToApiError(status)); }

}  // namespace tessera
