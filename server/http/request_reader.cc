#include "server/http/request_reader.h"

#include <boost/asio/buffer.hpp>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"

namespace tessera {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

RequestReader::RequestReader(const HttpConfig& config, ByteBudget& body_budget)
    : config_(config), body_budget_(body_budget) {
  BeginRequest();
}

void RequestReader::BeginRequest() {
  parser_.emplace();
  parser_->get().body().share = std::make_shared<ByteBudget::Share>(body_budget_);
  parser_->eager(true);
  parser_->header_limit(static_cast<std::uint32_t>(config_.header_bytes_max));
  parser_->body_limit(static_cast<std::uint64_t>(config_.body_bytes_max));
}

void RequestReader::Add(std::string_view bytes) {
  input_.commit(asio::buffer_copy(input_.prepare(bytes.size()), asio::buffer(bytes.data(), bytes.size())));
}

RequestReader::Progress RequestReader::Advance() {
  while (input_.size() > 0 && !parser_->is_done()) {
    boost::system::error_code error;
    const size_t num_used = parser_->put(input_.data(), error);
    input_.consume(num_used);
    if (error && error != http::error::need_more) {
      error_ = error;
      return Progress::kRefused;
    }
    if (error == http::error::need_more || num_used == 0) break;
  }
  return parser_->is_done() ? Progress::kComplete : Progress::kUnfinished;
}

HttpRequest RequestReader::Take() {
  HttpRequest request{.method = method(), .path = path()};
  Parser::value_type message = parser_->release();
  BeginRequest();
  request.id = std::string(CleanRequestId(View(message["X-Request-Id"])));
  request.body = std::move(message.body().text);
  request.body_share = std::move(message.body().share);
  if (message.count(http::field::authorization) == 1) {
    request.authorization = std::string(View(message[http::field::authorization]));
  }
  return request;
}

void RequestReader::Clear() {
  input_ = {};
  BeginRequest();
}

std::string RequestReader::method() const { return std::string(View(parser_->get().method_string())); }

std::string RequestReader::path() const {
  const std::string_view target = View(parser_->get().target());
  return std::string(target.substr(0, target.find('?')));
}

bool RequestReader::expects_continue() const {
  return has_head() && !parser_->is_done() && !is_http_1_0() &&
         boost::beast::iequals(parser_->get()[http::field::expect], "100-continue");
}

ApiError RequestReader::refusal() const {
  if (error_ == http::error::body_limit) {
    return {.status = 413,
            .message = absl::StrFormat("body: got more than %d bytes", config_.body_bytes_max),
            .type = "invalid_request_error",
            .code = "request_too_large"};
  }
  if (error_ == BudgetedBody::OverBudget()) {
    return ToApiError(absl::UnavailableError(
        absl::StrFormat("the bodies of all clients' requests together would pass %d bytes; try again later",
                        config_.bodies_bytes_max)));
  }
  if (error_ == http::error::header_limit) {
    return {.status = 431,
            .message = absl::StrFormat("headers: got more than %d bytes", config_.header_bytes_max),
            .type = "invalid_request_error",
            .code = "headers_too_large"};
  }
  return {.status = 400,
          .message = "not an HTTP/1.1 request: " + error_.message(),
          .type = "invalid_request_error",
          .code = "bad_http"};
}

}  // namespace tessera
