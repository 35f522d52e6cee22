#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/budgeted_body.h"
#include "server/http/error_body.h"
#include "server/http/http_config.h"
#include "server/http/http_message.h"

namespace tessera {

// Cuts what a client sends into requests, whatever the pieces it comes in, and refuses what is not HTTP/1.1 or too much
// of it: in one request, or in the bodies of all that the server holds. It knows no socket and no time. Not
// thread-safe.
class RequestReader {
 public:
  // Both outlive it.
  RequestReader(const HttpConfig& config, ByteBudget& body_budget);

  enum class Progress { kUnfinished, kComplete, kRefused };

  // Bytes as they came; they wait until Advance wants them.
  void Add(std::string_view bytes);
  // Reads the current request as far as its bytes are there.
  Progress Advance();
  // After kComplete: the request, with an empty id if the client gave none that is good. The next Advance begins the
  // next one.
  HttpRequest Take();
  // After kRefused: why. Nothing can be read any more.
  ApiError refusal() const;
  void Clear();  // lets go of all that was read and of all that waits

  size_t num_waiting_bytes() const { return input_.size(); }
  bool has_begun() const { return parser_->got_some(); }  // some of the current request was read
  bool has_head() const { return parser_->is_header_done(); }

  // Of the head of the current request.
  std::string method() const;
  std::string path() const;  // of the target, before '?'
  bool is_http_1_0() const { return parser_->get().version() < 11; }
  bool keeps_alive() const { return parser_->get().keep_alive(); }
  bool expects_continue() const;  // the client waits for "100 Continue" before it sends the body

 private:
  using Parser = boost::beast::http::request_parser<BudgetedBody>;

  void BeginRequest();

  const HttpConfig& config_;
  ByteBudget& body_budget_;
  boost::beast::flat_buffer input_;
  std::optional<Parser> parser_;  // of the current request
  boost::system::error_code error_;
};

}  // namespace tessera
