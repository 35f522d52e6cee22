#include "worker/rank_worker.h"

#include <utility>

#include "base/status_macros.h"

namespace tessera {

absl::StatusOr<std::unique_ptr<RankWorker>> RankWorker::Create(const Checkpoint& checkpoint,
                                                               const RankWorkerOptions& options,
                                                               std::unique_ptr<Backend> backend,
                                                               std::unique_ptr<ExpertExchange> exchange,
                                                               const Clock& clock, const LoadProgress& progress) {
  auto worker =
      std::unique_ptr<RankWorker>(new RankWorker(checkpoint.config(), std::move(backend), std::move(exchange)));
  const ModelConfig& config = worker->config_;
  // The cache first: it fails at once if memory is short, the weights take minutes.
  TESSERA_ASSIGN_OR_RETURN(
      worker->cache_,
      PagedLatentCache::Create({.num_layers = config.num_hidden_layers + (options.load.mtp ? 1 : 0),
                                .num_blocks = options.num_blocks,
                                .kv_lora_rank = config.kv_lora_rank,
                                .qk_rope_head_dim = config.qk_rope_head_dim,
                                .dtype = options.load.precision == Precision::kF32 ? DType::kF32 : DType::kBF16,
                                .poison = options.poison_cache}));
  TESSERA_ASSIGN_OR_RETURN(worker->weights_, LoadWeights(checkpoint, options.load, *worker->backend_, progress));
  const ModelLimits limits{.precision = options.load.precision, .step_tokens_max = options.runner.step_tokens_max};
  worker->model_ =
      std::make_unique<Model>(config, worker->weights_, limits, *worker->backend_, worker->exchange_.get());
  if (options.load.mtp) {
    worker->mtp_ =
        std::make_unique<MtpModule>(config, worker->weights_, limits, *worker->backend_, worker->model_->decoder());
  }
  worker->runner_ = std::make_unique<StepRunner>(options.runner, StepRunnerParts{.model = *worker->model_,
                                                                                 .mtp = worker->mtp_.get(),
                                                                                 .cache = *worker->cache_,
                                                                                 .exchange = worker->exchange_.get(),
                                                                                 .clock = clock});
  return worker;
}

}  // namespace tessera
