#include "server/grpc/event_stream.h"

#include <utility>
#include <variant>

#include "server/grpc/call.h"
#include "server/grpc/from_proto.h"

namespace tessera {

std::shared_ptr<EventStream> EventStream::Make(grpc::CallbackServerContext* context, const Tokenizer& tokenizer,
                                               std::shared_ptr<AccessRecord> access) {
  std::shared_ptr<EventStream> stream(new EventStream(context, tokenizer, std::move(access)));
  stream->self_ = stream;
  return stream;
}

void EventStream::Attach(const std::shared_ptr<GenerateStream>& stream, std::string request_id, bool with_ids) {
  bool is_cancelled = false;
  {
    MutexLock lock(mutex_);
    stream_ = stream;
    request_id_ = std::move(request_id);
    with_ids_ = with_ids;
    is_cancelled = is_cancelled_;
  }
  if (is_cancelled) stream->Cancel();
  Pump();
}

void EventStream::Refuse(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    end_ = status;
  }
  Pump();
}

void EventStream::TakeEvents() {
  for (GenerateEvent& event : stream_->Take()) {
    if (const auto* started = std::get_if<StartedEvent>(&event)) {
      output_.push_back(ToProto(*started, request_id_, with_ids_));
    } else if (const auto* delta = std::get_if<ChoiceDelta>(&event)) {
      output_.push_back(ToProto(*delta, tokenizer_));
    } else if (const auto* done = std::get_if<DoneEvent>(&event)) {
      output_.push_back(ToProto(done->usage));
      end_ = absl::OkStatus();
    } else {
      end_ = std::get<FailedEvent>(event).status;
    }
  }
}

void EventStream::Pump() {
  const v1::GenerateEvent* next = nullptr;
  std::optional<absl::Status> end;
  {
    MutexLock lock(mutex_);
    if (is_finished_) return;
    if (stream_ != nullptr && stream_->IsCut()) context_->TryCancel();  // the write under way then ends
    if (is_writing_) return;
    if (is_cancelled_) output_.clear();  // nobody reads it
    if (output_.empty() && stream_ != nullptr && !end_.has_value()) TakeEvents();
    if (is_cancelled_) output_.clear();
    if (!output_.empty()) {
      next = &output_.front();  // stays where it is: a deque does not move its elements
      is_writing_ = true;
    } else if (end_.has_value()) {
      end = end_;
      is_finished_ = true;
    }
  }
  // Not under the lock: gRPC may call back from here.
  if (next != nullptr) StartWrite(next);
  if (end.has_value()) End(*end);
}

void EventStream::End(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kResourceExhausted || status.code() == absl::StatusCode::kUnavailable) {
    context_->AddTrailingMetadata("retry-after", "1");
  }
  access_->status = absl::StatusCodeToString(status.code());
  Finish(ToGrpc(status));
}

void EventStream::OnWriteDone(bool ok) {
  std::shared_ptr<GenerateStream> stream;
  {
    MutexLock lock(mutex_);
    is_writing_ = false;
    output_.pop_front();
    if (!ok) {
      is_cancelled_ = true;
      if (!end_.has_value()) end_ = absl::CancelledError("the client has gone");
      stream = stream_;
    }
  }
  if (stream != nullptr) stream->Cancel();
  Pump();
}

void EventStream::OnCancel() {
  std::shared_ptr<GenerateStream> stream;
  {
    MutexLock lock(mutex_);
    is_cancelled_ = true;
    stream = stream_;
  }
  if (stream != nullptr) stream->Cancel();  // its last event ends this call
}

void EventStream::OnDone() { self_.reset(); }

}  // namespace tessera
