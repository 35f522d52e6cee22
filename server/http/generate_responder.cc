#include "server/http/generate_responder.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "server/http/error_body.h"

namespace tessera {
namespace {

std::string SseEvent(const std::string& data) { return absl::StrCat("data: ", data, "\n\n"); }

}  // namespace

void GenerateResponder::Attach(std::shared_ptr<GenerateStream> stream, Form form) {
  exchange_->Post(
      [self = shared_from_this(), stream = std::move(stream), form = std::make_shared<Form>(std::move(form))] {
        if (self->is_gone_) return stream->Cancel();
        self->form_ = std::move(*form);
        self->stream_ = stream;
        self->Pump();
      });
}

void GenerateResponder::Refuse(absl::Status status) {
  exchange_->Post([self = shared_from_this(), status = std::move(status)] {
    if (std::exchange(self->is_over_, true)) return;
    self->exchange_->Respond(ErrorResponse(status));
  });
}

void GenerateResponder::OnEventsReady() {
  exchange_->Post([self = shared_from_this()] { self->Pump(); });
}

void GenerateResponder::OnClientGone() {
  is_gone_ = is_over_ = true;
  if (stream_ != nullptr) stream_->Cancel();
}

void GenerateResponder::OnKeepAliveDue() {
  if (is_over_ || stream_ == nullptr) return;
  BeginBody();
  exchange_->Write(form_.is_stream ? ": keep-alive\n\n" : "\n");
}

void GenerateResponder::BeginBody() {
  if (body_begun_) return;
  body_begun_ = true;
  HttpResponse head;
  if (form_.is_stream) {
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  }
  exchange_->BeginBody(std::move(head));
}

void GenerateResponder::Pump() {
  if (is_over_ || stream_ == nullptr) return;
  if (stream_->IsCut()) {
    is_over_ = true;
    return exchange_->Cut();
  }
  // A stream's events wait in their bounded queue while the client is busy with the ones before.
  if (form_.is_stream && !exchange_->IsIdle()) return;
  std::string out;
  for (GenerateEvent& event : stream_->Take()) {
    Handle(std::move(event), out);
    if (is_over_) return;
  }
  Flush(std::move(out));
}

void GenerateResponder::Flush(std::string out) {
  if (!out.empty()) {
    BeginBody();
    exchange_->Write(std::move(out));
  }
  if (!ends_body_) return;
  is_over_ = true;
  exchange_->EndBody();
}

void GenerateResponder::Handle(GenerateEvent event, std::string& out) {
  form_.body_share = nullptr;
  if (const auto* started = std::get_if<StartedEvent>(&event)) {
    form_.writer->OnStarted(*started);
  } else if (auto* delta = std::get_if<ChoiceDelta>(&event)) {
    if (form_.is_stream) {
      out += SseEvent(Dump(form_.writer->Chunk(*delta)));
    } else {
      form_.writer->Gather(std::move(*delta));
    }
  } else if (const auto* done = std::get_if<DoneEvent>(&event)) {
    HandleDone(done->usage, out);
  } else {
    HandleFailure(std::get<FailedEvent>(event).status, out);
  }
}

void GenerateResponder::HandleDone(const Usage& usage, std::string& out) {
  if (form_.is_stream) {
    if (form_.include_usage) out += SseEvent(Dump(form_.writer->UsageChunk(usage)));
    out += SseEvent("[DONE]");
    ends_body_ = true;
    return;
  }
  std::string document = Dump(form_.writer->Whole(usage));
  if (body_begun_) {
    out += document;
    ends_body_ = true;
    return;
  }
  is_over_ = true;
  exchange_->Respond({.body = std::move(document)});
}

void GenerateResponder::HandleFailure(const absl::Status& status, std::string& out) {
  if (!body_begun_ && out.empty()) {
    is_over_ = true;
    return exchange_->Respond(ErrorResponse(status));
  }
  if (form_.is_stream) {
    out += SseEvent(ErrorJson(ToApiError(status)));
    ends_body_ = true;
    return;
  }
  // A document that was announced as a success: a body without its end is seen as a failure by every client, an error
  // object in it is not.
  is_over_ = true;
  exchange_->Cut();
}

}  // namespace tessera
