#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "server/http/answer_writer.h"
#include "server/http/exchange.h"
#include "server/session/generation_service.h"

namespace tessera {

// Answers one completion: takes the request's events as fast as the client reads, and writes them as server-sent events
// or gathers them into one document. The status line waits for the first token, so that a failure before it has its own
// status; unless the wait gets long: then 200 is sent with something to keep the connection alive, and a later failure
// is an error inside the body. On the connection's strand, but for OnEventsReady.
class GenerateResponder final : public Responder,
                                public GenerateObserver,
                                public std::enable_shared_from_this<GenerateResponder> {
 public:
  explicit GenerateResponder(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

  // How the answer is to be sent, once that is known.
  struct Form {
    std::unique_ptr<AnswerWriter> writer;
    bool is_stream = false;
    bool include_usage = false;
    std::shared_ptr<ByteBudget::Share> body_share;  // of the request; until its prompt is encoded
  };

  // One of these, once, from any thread: the request runs, or it is refused.
  void Attach(std::shared_ptr<GenerateStream> stream, Form form);
  void Refuse(absl::Status status);

  void OnEventsReady() override;
  void OnWritten() override { Pump(); }
  void OnKeepAliveDue() override;
  void OnClientGone() override;

 private:
  void Pump();
  void Handle(GenerateEvent event, std::string& out);
  void HandleFailure(const absl::Status& status, std::string& out);
  void HandleDone(const Usage& usage, std::string& out);
  void BeginBody();
  void Flush(std::string out);

  const std::shared_ptr<Exchange> exchange_;
  Form form_;
  std::shared_ptr<GenerateStream> stream_;
  bool body_begun_ = false;
  bool is_over_ = false;    // nothing more may be sent
  bool is_gone_ = false;    // the client left before the stream was attached
  bool ends_body_ = false;  // after what is being flushed
};

}  // namespace tessera
