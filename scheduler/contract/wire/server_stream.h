#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "scheduler/contract/wire/grpc_status.h"
#include "scheduler/contract/wire/stream_listener.h"
#include "scheduler/contract/wire/write_queue.h"

namespace tessera::wire {

// The server's end of a bidirectional stream: reads all the time, writes what is sent in order. Thread-safe. gRPC may
// call the listener from within Send, Finish and Cut, so none may be called with a lock that the listener takes.
template <typename In, typename Out>
class ServerStream final : public grpc::ServerBidiReactor<In, Out> {
 public:
  // The handler of the call returns reactor(). Nothing is read before Listen.
  static std::shared_ptr<ServerStream> Make(grpc::CallbackServerContext* context,
                                            int64_t unread_bytes_max = kUnreadBytesMax) {
    std::shared_ptr<ServerStream> stream(new ServerStream(context, unread_bytes_max));
    stream->self_ = stream;
    return stream;
  }

  // Starts reading. The listener is kept until OnClosed has returned. Call once.
  void Listen(std::shared_ptr<StreamListener<In>> listener) {
    listener_ = std::move(listener);
    this->StartRead(&incoming_);
  }

  grpc::ServerBidiReactor<In, Out>* reactor() { return this; }
  const std::string& peer() const { return peer_; }

  // Dropped when the stream has ended. A peer that does not read loses the stream.
  void Send(Out message) {
    bool is_stuck = false;
    {
      const MutexLock lock(mutex_);
      if (end_.has_value()) return;
      is_stuck = !queue_.Push(std::move(message));
    }
    if (is_stuck) Cut(absl::ResourceExhaustedError("the peer does not read"));
    Write();
  }

  // Whether nothing waits to be written.
  bool IsIdle() const {
    const MutexLock lock(mutex_);
    return queue_.is_empty();
  }

  // Ends the stream with this status after what was sent before. The first end counts.
  void Finish(const absl::Status& status) {
    {
      const MutexLock lock(mutex_);
      if (!end_.has_value()) end_ = status;
    }
    Write();
  }

  // Ends the stream without waiting for the peer to read anything.
  void Cut(const absl::Status& status) {
    {
      const MutexLock lock(mutex_);
      queue_.Clear();
      if (!end_.has_value()) end_ = status;
      if (is_finished_ || is_cutting_) return;
      is_cutting_ = true;  // not finished meanwhile: the context is there until then
    }
    context_->TryCancel();
    {
      const MutexLock lock(mutex_);
      is_cutting_ = false;
    }
    Write();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(absl::OkStatus());  // the peer has said all it will say
      return;
    }
    listener_->OnMessage(incoming_);
    this->StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    {
      const MutexLock lock(mutex_);
      queue_.Written();
      if (!ok) queue_.Clear();
    }
    Write();
  }

  void OnCancel() override {
    {
      const MutexLock lock(mutex_);
      queue_.Clear();
      if (!end_.has_value()) end_ = absl::CancelledError("the stream was cut");
    }
    Write();
  }

  void OnDone() override {
    absl::Status end;
    {
      const MutexLock lock(mutex_);
      end = *end_;
    }
    if (listener_ != nullptr) listener_->OnClosed(end);
    listener_.reset();
    const std::shared_ptr<ServerStream> last = std::move(self_);
  }

 private:
  ServerStream(grpc::CallbackServerContext* context, int64_t unread_bytes_max)
      : context_(context), peer_(context->peer()), queue_(unread_bytes_max) {}

  // Writes the next message, or finishes when none is left and the end has come.
  void Write() {
    const Out* next = nullptr;
    std::optional<absl::Status> end;
    {
      const MutexLock lock(mutex_);
      if (is_finished_) return;
      next = queue_.Next();
      if (queue_.is_empty() && end_.has_value() && !is_cutting_) {
        end = end_;
        is_finished_ = true;
      }
    }
    if (next != nullptr) this->StartWrite(next);
    if (end.has_value()) grpc::ServerBidiReactor<In, Out>::Finish(ToGrpc(*end));
  }

  grpc::CallbackServerContext* const context_;  // gRPC's; until OnDone
  const std::string peer_;
  std::shared_ptr<StreamListener<In>> listener_;
  In incoming_;
  std::shared_ptr<ServerStream> self_;  // until gRPC is done with it
  mutable Mutex mutex_;
  WriteQueue<Out> queue_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_cutting_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tessera::wire
