#pragma once

#include <atomic>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "scheduler/contract/engine_port.h"
#include "server/chat/chat_format.h"
#include "server/metrics/server_metrics.h"
#include "server/session/generate_event.h"
#include "server/session/generate_request.h"
#include "server/session/prompt_encoder.h"
#include "server/session/service_config.h"
#include "server/session/work_pool.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {

class Generation;

// What a transport implements to hear that its request has new events. Called on the service's threads; must be quick.
class GenerateObserver {
 public:
  virtual ~GenerateObserver() = default;
  virtual void OnEventsReady() = 0;
};

// A transport's end of one request. Thread-safe.
class GenerateStream {
 public:
  virtual ~GenerateStream() = default;
  // The events since the last call, oldest first. DoneEvent or FailedEvent is the last of all.
  virtual std::vector<GenerateEvent> Take() = 0;
  // The client left too much unread and the request was ended for it: the connection is to be cut, whatever is on its
  // way.
  virtual bool IsCut() const = 0;
  // The client has gone: ends the work within a step. Harmless at any time, and again.
  virtual void Cancel() = 0;
};

// Everything between a parsed request and its events, whatever the transport: checks, chat format, tokenizer, the
// engine requests of its choices, and their tokens' way back to text. Thread-safe. Threads: prompts are encoded on
// `work`; the tokens of one request are handled one after the other, on the service's own threads; the engine's thread
// only hands its batches over.
class GenerationService final : public TokenSink {
 public:
  // All references must outlive it, `work` only until its jobs are done. The engine must deliver its tokens to this
  // object, and not after its destruction.
  GenerationService(ServiceConfig config, const Tokenizer& tokenizer, const ChatFormat& format, EnginePort& engine,
                    const Clock& clock, ServerMetrics& metrics, WorkPool& work);
  ~GenerationService() override;

  // Failures come as FailedEvent too. The observer is held weakly.
  std::shared_ptr<GenerateStream> Start(GenerateRequest request, std::weak_ptr<GenerateObserver> observer);

  // The ids that Start would send to the engine. Long work: not on a thread that serves sockets.
  absl::StatusOr<std::vector<TokenId>> Tokenize(const Prompt& prompt) const;
  absl::StatusOr<std::string> Detokenize(std::span<const TokenId> ids) const;

  void OnTokens(TokenBatch batch) override;

  void Drain();                                  // refuses new requests from now on
  void EndAll(const absl::Status& status);       // fails all requests that have not ended
  bool AwaitIdle(absl::Duration timeout) const;  // false: some request had not ended by then

  // Why a request would be refused now; OK: it would not.
  absl::Status Readiness() const;

  const ServiceConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ChatFormat& chat_format() const { return format_; }
  EngineLimits limits() const { return engine_.limits(); }
  const Clock& clock() const { return clock_; }

 private:
  friend class Generation;
  using Strand = boost::asio::strand<boost::asio::thread_pool::executor_type>;

  Strand MakeStrand() { return boost::asio::make_strand(stream_pool_.get_executor()); }
  RequestId Route(const std::shared_ptr<Generation>& generation);  // makes an id whose tokens go to the generation
  void Unroute(RequestId id);
  void OnEnded(const std::shared_ptr<Generation>& generation);
  void Dispatch(TokenBatch batch);

  const ServiceConfig config_;
  const Tokenizer& tokenizer_;
  const ChatFormat& format_;
  EnginePort& engine_;
  const Clock& clock_;
  ServerMetrics& metrics_;
  WorkPool& work_;
  const PromptEncoder encoder_;
  boost::asio::thread_pool stream_pool_;  // before all that may hold a strand of it, which must go first
  Strand dispatch_strand_;                // keeps the batches in order
  std::atomic<bool> is_draining_ = false;
  std::atomic<int64_t> next_request_id_ = 1;
  mutable Mutex mutex_;
  mutable CondVar became_idle_;
  absl::flat_hash_map<RequestId, std::shared_ptr<Generation>> routes_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<std::shared_ptr<Generation>> active_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tessera
