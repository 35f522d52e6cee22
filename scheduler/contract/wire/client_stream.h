#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "scheduler/contract/wire/grpc_status.h"
#include "scheduler/contract/wire/stream_listener.h"
#include "scheduler/contract/wire/write_queue.h"

namespace tessera::wire {

// The client's end of a bidirectional stream: reads all the time, writes what is sent in order. Thread-safe. gRPC may
// call the listener from within Send and Close, so neither may be called with a lock that the listener takes.
template <typename Out, typename In>
class ClientStream final : public grpc::ClientBidiReactor<Out, In> {
 public:
  // `start(context, reactor)` makes the call: [&](auto* context, auto* reactor) { stub.async()->Work(context, reactor);
  // } The listener is kept until OnClosed has returned.
  template <typename Start>
  static std::shared_ptr<ClientStream> Open(std::shared_ptr<StreamListener<In>> listener, Start start) {
    std::shared_ptr<ClientStream> stream(new ClientStream(std::move(listener)));
    stream->self_ = stream;
    start(&stream->context_, static_cast<grpc::ClientBidiReactor<Out, In>*>(stream.get()));
    stream->AddHold();  // writes come from other threads than the reactions
    stream->StartRead(&stream->incoming_);
    stream->StartCall();
    return stream;
  }

  // Dropped when the stream has ended. A peer that does not read loses the stream.
  void Send(Out message) {
    bool is_stuck = false;
    {
      const MutexLock lock(mutex_);
      if (reads_ended_) return;
      is_stuck = !queue_.Push(std::move(message));
    }
    if (is_stuck) context_.TryCancel();
    Write();
  }

  // Whether nothing waits to be written.
  bool IsIdle() const {
    const MutexLock lock(mutex_);
    return queue_.is_empty();
  }

  // OnClosed follows.
  void Close() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (ok) {
      listener_->OnMessage(incoming_);
      this->StartRead(&incoming_);
      return;
    }
    bool releases = false;
    {
      const MutexLock lock(mutex_);
      reads_ended_ = true;
      queue_.Clear();
      releases = !queue_.is_writing();
    }
    if (releases) this->RemoveHold();
  }

  void OnWriteDone(bool) override {  // a failed write ends the reads too
    bool releases = false;
    {
      const MutexLock lock(mutex_);
      queue_.Written();
      releases = reads_ended_;
    }
    if (releases) {
      this->RemoveHold();
    } else {
      Write();
    }
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<StreamListener<In>> listener = std::move(listener_);
    self_.reset();  // the owner's reference is the last one
    listener->OnClosed(FromGrpc(status));
  }

 private:
  explicit ClientStream(std::shared_ptr<StreamListener<In>> listener) : listener_(std::move(listener)) {}

  void Write() {
    const Out* next = nullptr;
    {
      const MutexLock lock(mutex_);
      if (!reads_ended_) next = queue_.Next();
    }
    if (next != nullptr) this->StartWrite(next);
  }

  grpc::ClientContext context_;
  std::shared_ptr<StreamListener<In>> listener_;
  In incoming_;
  std::shared_ptr<ClientStream> self_;  // until gRPC is done with it
  mutable Mutex mutex_;
  WriteQueue<Out> queue_ ABSL_GUARDED_BY(mutex_){kUnreadBytesMax};
  bool reads_ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tessera::wire
