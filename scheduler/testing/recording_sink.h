#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "scheduler/contract/engine_port.h"

namespace tessera {

// Joins what each request got. Aborts when a request gets anything after its finish, or when an error's status and
// finish disagree. Thread-safe.
class RecordingSink final : public TokenSink {
 public:
  void OnTokens(TokenBatch batch) override;

  // All tokens so far in one piece; nothing for a request that got none.
  RequestTokens Of(int64_t request) const;
  std::vector<TokenId> Tokens(int64_t request) const { return Of(request).tokens; }
  std::optional<FinishReason> Finish(int64_t request) const { return Of(request).finish; }

  size_t num_batches() const;
  size_t num_finished() const;
  void WaitForFinished(size_t count) const;  // of requests

 private:
  mutable Mutex mutex_;
  mutable CondVar finished_;
  std::map<int64_t, RequestTokens> requests_ ABSL_GUARDED_BY(mutex_);
  size_t num_batches_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t num_finished_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tessera
