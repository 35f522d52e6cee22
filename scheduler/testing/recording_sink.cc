#include "scheduler/testing/recording_sink.h"

#include <iterator>
#include <utility>

#include "base/check.h"

namespace tessera {
namespace {

template <typename T>
void Append(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

void RecordingSink::OnTokens(TokenBatch batch) {
  const MutexLock lock(mutex_);
  ++num_batches_;
  for (RequestTokens& brought : batch.requests) {
    RequestTokens& request = requests_[brought.request.value];
    TESSERA_CHECK(!request.finish.has_value());
    TESSERA_CHECK(brought.status.ok() == (brought.finish != FinishReason::kError));
    request.request = brought.request;
    if (request.tokens.empty() && !brought.tokens.empty()) {
      request.started = brought.started;
      request.num_cached_tokens = brought.num_cached_tokens;
    }
    Append(request.tokens, brought.tokens);
    Append(request.logprobs, brought.logprobs);
    Append(request.prompt_logprobs, brought.prompt_logprobs);
    request.finish = brought.finish;
    request.status = std::move(brought.status);
    if (request.finish.has_value()) ++num_finished_;
  }
  finished_.NotifyAll();
}

RequestTokens RecordingSink::Of(int64_t request) const {
  const MutexLock lock(mutex_);
  const auto entry = requests_.find(request);
  return entry == requests_.end() ? RequestTokens{} : entry->second;
}

size_t RecordingSink::num_batches() const {
  const MutexLock lock(mutex_);
  return num_batches_;
}

size_t RecordingSink::num_finished() const {
  const MutexLock lock(mutex_);
  return num_finished_;
}

void RecordingSink::WaitForFinished(size_t count) const {
  const MutexLock lock(mutex_);
  while (num_finished_ < count) finished_.Wait(mutex_);
}

}  // namespace tessera
