#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "server/metrics/access_log.h"
#include "server/session/generation_service.h"
#include "tessera/v1/serve.grpc.pb.h"

namespace tessera {

// One Generate call: writes the request's events as fast as the client reads. gRPC holds it until OnDone; the service
// only weakly, so that late events find nobody.
class EventStream final : public grpc::ServerWriteReactor<v1::GenerateEvent>,
                          public GenerateObserver,
                          public std::enable_shared_from_this<EventStream> {
 public:
  // Lives until gRPC says OnDone, which comes after Finish only.
  static std::shared_ptr<EventStream> Make(grpc::CallbackServerContext* context, const Tokenizer& tokenizer,
                                           std::shared_ptr<AccessRecord> access);

  // One of these, once, from any thread: the request runs, or it is refused.
  void Attach(const std::shared_ptr<GenerateStream>& stream, std::string request_id, bool with_ids);
  void Refuse(const absl::Status& status);

  void OnEventsReady() override { Pump(); }
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  EventStream(grpc::CallbackServerContext* context, const Tokenizer& tokenizer, std::shared_ptr<AccessRecord> access)
      : context_(context), tokenizer_(tokenizer), access_(std::move(access)) {}

  void Pump();
  void TakeEvents() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const absl::Status& status);

  grpc::CallbackServerContext* const context_;
  const Tokenizer& tokenizer_;
  const std::shared_ptr<AccessRecord> access_;
  std::shared_ptr<EventStream> self_;  // until OnDone
  Mutex mutex_;
  std::shared_ptr<GenerateStream> stream_ ABSL_GUARDED_BY(mutex_);
  std::string request_id_ ABSL_GUARDED_BY(mutex_);
  bool with_ids_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<v1::GenerateEvent> output_ ABSL_GUARDED_BY(mutex_);  // front: being written, if is_writing_
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);       // after all output
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tessera
