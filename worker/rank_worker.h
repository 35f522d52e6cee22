#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "kernels/backend.h"
#include "worker/cache/paged_latent_cache.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/exchange/expert_exchange.h"
#include "worker/model/model.h"
#include "worker/model/mtp_module.h"
#include "worker/model/weight_loader.h"
#include "worker/step_runner.h"

namespace tessera {

struct RankWorkerOptions {
  LoadOptions load;
  StepRunnerConfig runner;
  int32_t num_blocks = 0;
  bool poison_cache = false;
};

// One rank with everything it owns: backend, weights, cache, its part of the exchange, model and step runner. Made on
// any thread, used by one.
class RankWorker {
 public:
  // `exchange` may be null if the model has no MoE layer. `clock` outlives the worker.
  static absl::StatusOr<std::unique_ptr<RankWorker>> Create(const Checkpoint& checkpoint,
                                                            const RankWorkerOptions& options,
                                                            std::unique_ptr<Backend> backend,
                                                            std::unique_ptr<ExpertExchange> exchange,
                                                            const Clock& clock, const LoadProgress& progress);

  StepRunner& runner() { return *runner_; }
  int64_t weights_bytes() const { return weights_.bytes; }
  std::string_view backend_name() const { return backend_->name(); }

  // Ends this rank's part in the group and with it everybody's. Thread-safe.
  void Abort(const absl::Status& reason) {
    if (exchange_ != nullptr) exchange_->Abort(reason);
  }

 private:
  RankWorker(ModelConfig config, std::unique_ptr<Backend> backend, std::unique_ptr<ExpertExchange> exchange)
      : config_(std::move(config)), backend_(std::move(backend)), exchange_(std::move(exchange)) {}

  const ModelConfig config_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<ExpertExchange> exchange_;
  ModelWeights weights_;
  std::unique_ptr<PagedLatentCache> cache_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<MtpModule> mtp_;  // only with drafts
  std::unique_ptr<StepRunner> runner_;
};

}  // namespace tessera
