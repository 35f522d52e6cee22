#include "server/http/http_message.h"

#include <algorithm>
#include <boost/beast/http/status.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace tessera {

std::string FormatHead(const HttpResponse& response, BodyFraming framing, bool keep_alive,
                       std::string_view request_id) {
  const auto reason = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(response.status));
  std::string head = absl::StrFormat("HTTP/1.1 %d %s\r\nServer: tessera\r\n", response.status,
                                     std::string_view(reason.data(), reason.size()));
  absl::StrAppendFormat(&head, "Content-Type: %s\r\nX-Request-Id: %s\r\n", response.content_type, request_id);
  for (const auto& [name, value] : response.headers) absl::StrAppendFormat(&head, "%s: %s\r\n", name, value);
  if (framing == BodyFraming::kLength) absl::StrAppendFormat(&head, "Content-Length: %d\r\n", response.body.size());
  if (framing == BodyFraming::kChunked) head += "Transfer-Encoding: chunked\r\n";
  head += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

std::string FormatChunk(std::string_view data) { return absl::StrFormat("%x\r\n%s\r\n", data.size(), data); }

std::string_view CleanRequestId(std::string_view text) {
  const auto is_allowed = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("-_.:/=+").find(c) != std::string_view::npos;
  };
  if (text.empty() || text.size() > 128 || !std::all_of(text.begin(), text.end(), is_allowed)) return {};
  return text;
}

}  // namespace tessera
