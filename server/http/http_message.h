#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/limits/byte_budget.h"
#include "server/metrics/access_log.h"

namespace tessera {

struct HttpRequest {
  std::string method;
  std::string path;           // of the target, before '?'; nothing is decoded or normalized
  std::string authorization;  // empty: none, or more than one
  std::string id;             // the client's X-Request-Id, or one made here
  std::string body;
  std::shared_ptr<ByteBudget::Share>
      body_share;                        // what the body takes of the server's budget; kept as long as its text
  std::shared_ptr<AccessRecord> access;  // of this request; never null
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // beside those that every response has
};

enum class BodyFraming {
  kLength,   // the body is known: Content-Length
  kChunked,  // it follows piece by piece
  kToClose,  // it ends when the connection does (HTTP/1.0)
};

// Status line and headers, up to the empty line. `keep_alive`: the connection stays open after the response.
std::string FormatHead(const HttpResponse& response, BodyFraming framing, bool keep_alive, std::string_view request_id);

// `data` as one chunk of a chunked body. Requires: not empty.
std::string FormatChunk(std::string_view data);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// `text` if it can be a request id: 1 to 128 letters, digits or -_.:/=+; else empty.
std::string_view CleanRequestId(std::string_view text);

}  // namespace tessera
