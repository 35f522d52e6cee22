#include "server/session/generation_service.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "server/session/generation.h"

namespace tessera {

GenerationService::GenerationService(ServiceConfig config, const Tokenizer& tokenizer, const ChatFormat& format,
                                     EnginePort& engine, const Clock& clock, ServerMetrics& metrics, WorkPool& work)
    : config_(std::move(config)),
      tokenizer_(tokenizer),
      format_(format),
      engine_(engine),
      clock_(clock),
      metrics_(metrics),
      work_(work),
      encoder_(tokenizer, format, config_.default_thinking),
      stream_pool_(static_cast<size_t>(config_.num_stream_threads)),
      dispatch_strand_(boost::asio::make_strand(stream_pool_.get_executor())) {}

GenerationService::~GenerationService() {
  stream_pool_.stop();
  stream_pool_.join();
}

std::shared_ptr<GenerateStream> GenerationService::Start(GenerateRequest request,
                                                         std::weak_ptr<GenerateObserver> observer) {
  metrics_.OnRequestStarted();
  request.arrival = clock_.Now();
  request.deadline = std::min(request.deadline, request.arrival + config_.request_timeout);
  auto generation = std::make_shared<Generation>(*this, std::move(request), std::move(observer));
  {
    MutexLock lock(mutex_);
    active_.insert(generation);
  }
  generation->Start();
  return generation;
}

absl::StatusOr<std::vector<TokenId>> GenerationService::Tokenize(const Prompt& prompt) const {
  TESSERA_ASSIGN_OR_RETURN(EncodedPrompt encoded, encoder_.Encode(prompt));
  return std::move(encoded.ids);
}

absl::StatusOr<std::string> GenerationService::Detokenize(std::span<const TokenId> ids) const {
  const int32_t vocab_size = engine_.limits().vocab_size;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrFormat("tokens[%d]: got token id %d, wanted 0 to %d", i, ids[i], vocab_size - 1));
    }
  }
  return tokenizer_.Decode(ids, /*skip_special=*/false);
}

void GenerationService::OnTokens(TokenBatch batch) {
  boost::asio::post(dispatch_strand_, [this, batch = std::move(batch)]() mutable { Dispatch(std::move(batch)); });
}

void GenerationService::Dispatch(TokenBatch batch) {
  for (RequestTokens& tokens : batch.requests) {
    std::shared_ptr<Generation> generation;
    {
      MutexLock lock(mutex_);
      const auto found = routes_.find(tokens.request);
      if (found == routes_.end()) continue;  // its client has gone, or a stop string ended it
      generation = found->second;
    }
    generation->OnTokens(std::move(tokens));
  }
}

RequestId GenerationService::Route(const std::shared_ptr<Generation>& generation) {
  const RequestId id{next_request_id_.fetch_add(1)};
  MutexLock lock(mutex_);
  routes_.emplace(id, generation);
  return id;
}

void GenerationService::Unroute(RequestId id) {
  MutexLock lock(mutex_);
  routes_.erase(id);
}

void GenerationService::OnEnded(const std::shared_ptr<Generation>& generation) {
  MutexLock lock(mutex_);
  active_.erase(generation);
  if (active_.empty()) became_idle_.NotifyAll();
}

void GenerationService::Drain() {
  is_draining_ = true;
  engine_.Drain();
}

void GenerationService::EndAll(const absl::Status& status) {
  std::vector<std::shared_ptr<Generation>> active;
  {
    MutexLock lock(mutex_);
    active.assign(active_.begin(), active_.end());
  }
  for (const auto& generation : active) generation->End(status);
}

bool GenerationService::AwaitIdle(absl::Duration timeout) const {
  const absl::Time deadline = absl::Now() + timeout;
  MutexLock lock(mutex_);
  while (!active_.empty()) {
    if (!became_idle_.WaitFor(mutex_, deadline - absl::Now())) return active_.empty();
  }
  return true;
}

absl::Status GenerationService::Readiness() const {
  if (is_draining_) return absl::UnavailableError("the server is shutting down; try another one");
  const EngineStatus status = engine_.Status();
  if (!status.ready) return absl::UnavailableError(absl::StrFormat("the engine is not ready: %s", status.reason));
  return absl::OkStatus();
}

}  // namespace tessera
