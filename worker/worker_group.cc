#include "worker/worker_group.h"

#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "scheduler/contract/steps_under_way.h"
#include "spdlog/spdlog.h"
#include "worker/exchange/in_process_exchange.h"
#include "worker/exchange/local_exchange.h"
#include "worker/rank_worker.h"

namespace tessera {
namespace {

class Group final : public InProcessWorkerGroup {
 public:
  Group(const WorkerLimits& limits, const MemoryPlan& memory, std::vector<std::unique_ptr<RankWorker>> ranks)
      : limits_(limits), memory_(memory), ranks_(std::move(ranks)), plans_(ranks_.size()), steps_(ranks_.size()) {}
  ~Group() override;

  // Starts the threads and runs a forward pass on all of them.
  absl::Status Start();

  const WorkerLimits& limits() const override { return limits_; }
  const MemoryPlan& memory() const override { return memory_; }
  void Submit(std::vector<StepPlan> plans) override;
  absl::StatusOr<std::vector<StepResult>> Receive() override;

 private:
  void RunRank(size_t rank);
  std::optional<StepPlan> NextPlan(size_t rank);
  void Break(size_t rank, int64_t step, const absl::Status& status);

  const WorkerLimits limits_;
  const MemoryPlan memory_;
  const std::vector<std::unique_ptr<RankWorker>> ranks_;
  std::vector<std::thread> threads_;  // [ranks]
  Mutex mutex_;
  CondVar changed_;                                                  // anything below
  std::vector<std::deque<StepPlan>> plans_ ABSL_GUARDED_BY(mutex_);  // [ranks]; not yet begun
  StepsUnderWay steps_ ABSL_GUARDED_BY(mutex_);
  size_t num_warm_ ABSL_GUARDED_BY(mutex_) = 0;  // ranks whose warm-up has succeeded
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
};

Group::~Group() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  // A rank may have begun a step that another will not begin any more.
  for (const auto& rank : ranks_) rank->Abort(absl::CancelledError("the group is shutting down"));
  for (std::thread& thread : threads_) thread.join();
}

absl::Status Group::Start() {
  for (size_t rank = 0; rank < ranks_.size(); ++rank) threads_.emplace_back([this, rank] { RunRank(rank); });
  const MutexLock lock(mutex_);
  while (broken_.ok() && num_warm_ < ranks_.size()) changed_.Wait(mutex_);
  return broken_;
}

void Group::Submit(std::vector<StepPlan> plans) {
  TESSERA_CHECK(plans.size() == ranks_.size());
  const MutexLock lock(mutex_);
  if (!broken_.ok()) return;  // Receive says so
  steps_.Begin();
  for (size_t rank = 0; rank < plans.size(); ++rank) plans_[rank].push_back(std::move(plans[rank]));
  changed_.NotifyAll();
}

absl::StatusOr<std::vector<StepResult>> Group::Receive() {
  const MutexLock lock(mutex_);
  TESSERA_CHECK(steps_.count() > 0 || !broken_.ok());
  while (broken_.ok() && !steps_.OldestIsDone()) changed_.Wait(mutex_);
  if (!broken_.ok()) return broken_;
  return steps_.TakeOldest();
}

void Group::RunRank(size_t rank) {
  if (absl::Status warm = ranks_[rank]->runner().WarmUp(); !warm.ok()) {
    Break(rank, 0, warm);
    return;
  }
  {
    const MutexLock lock(mutex_);
    ++num_warm_;
    changed_.NotifyAll();
  }
  while (std::optional<StepPlan> plan = NextPlan(rank)) {
    const int64_t step = plan->step;
    absl::StatusOr<StepResult> result = ranks_[rank]->runner().Run(*std::move(plan));
    if (!result.ok()) {
      Break(rank, step, result.status());
      return;
    }
    const MutexLock lock(mutex_);
    TESSERA_CHECK(steps_.TryAdd(rank, *std::move(result)));
    changed_.NotifyAll();
  }
}

std::optional<StepPlan> Group::NextPlan(size_t rank) {
  const MutexLock lock(mutex_);
  while (!stopping_ && broken_.ok() && plans_[rank].empty()) changed_.Wait(mutex_);
  if (stopping_ || !broken_.ok()) return std::nullopt;
  StepPlan plan = std::move(plans_[rank].front());
  plans_[rank].pop_front();
  return plan;
}

void Group::Break(size_t rank, int64_t step, const absl::Status& status) {
  absl::Status reason(status.code(), absl::StrFormat("rank %d, step %d: %s", rank, step, status.message()));
  {
    const MutexLock lock(mutex_);
    if (!broken_.ok() || stopping_) return;  // woken by the rank that failed first
    broken_ = reason;
    changed_.NotifyAll();
  }
  spdlog::error("worker group is broken: {}", std::string(reason.message()));
  for (const auto& other : ranks_) other->Abort(reason);
}

std::vector<std::unique_ptr<ExpertExchange>> MakeExchanges(const ModelConfig& config,
                                                           const WorkerGroupOptions& options) {
  std::vector<std::unique_ptr<ExpertExchange>> exchanges;
  if (config.n_routed_experts == 0) {
    exchanges.resize(static_cast<size_t>(options.num_ranks));
    return exchanges;
  }
  const ExchangeConfig exchange{.num_ranks = options.num_ranks,
                                .n_routed_experts = config.n_routed_experts,
                                .num_experts_per_tok = config.router.num_experts_per_tok,
                                .hidden_size = config.hidden_size,
                                .step_tokens_max = options.step_tokens_max,
                                .wire = WireType(options.precision)};
  if (options.num_ranks > 1) return MakeInProcessExchanges(exchange, options.rank_timeout);
  exchanges.push_back(MakeLocalExchange(exchange));
  return exchanges;
}

RankWorkerOptions RankOptions(const ModelConfig& config, const WorkerGroupOptions& options, const WorkerLimits& limits,
                              int32_t rank) {
  return {.load = {.rank = rank,
                   .num_ranks = options.num_ranks,
                   .precision = options.precision,
                   .mtp = options.draft_tokens > 0,
                   .check_finite = options.check_finite},
          .runner = {.rank = rank,
                     .num_ranks = options.num_ranks,
                     .step_tokens_max = limits.step_tokens_max,
                     .sequences_max = limits.sequences_max,
                     .context_tokens_max = limits.context_tokens_max,
                     .draft_tokens_max = limits.draft_tokens_max,
                     .vocab_size = config.vocab_size,
                     .valid_vocab = options.valid_vocab > 0 ? options.valid_vocab : config.vocab_size},
          .num_blocks = limits.num_blocks,
          .poison_cache = options.poison_cache};
}

}  // namespace

absl::Status Validate(const WorkerGroupOptions& options, const ModelConfig& config) {
  TESSERA_RETURN_IF_ERROR(ValidateRanks(config, options.num_ranks));
  if (options.draft_tokens < 0 || options.draft_tokens > kDraftTokensMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("draft_tokens: got %d, wanted 0 to %d", options.draft_tokens, kDraftTokensMax));
  }
  if (options.draft_tokens > 0 && config.num_nextn_predict_layers == 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "draft_tokens: got %d, but the checkpoint has no multi-token prediction module (MTP)", options.draft_tokens));
  }
  if (options.step_tokens_max < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("step_tokens_max: got %d, wanted at least 1", options.step_tokens_max));
  }
  if (options.sequences_max < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("sequences_max: got %d, wanted at least 1", options.sequences_max));
  }
  if (options.context_tokens_max < 0 || options.context_tokens_max > config.max_position_embeddings) {
    return absl::InvalidArgumentError(absl::StrFormat("context_tokens_max: got %d, wanted 1 to the model's %d, or 0",
                                                      options.context_tokens_max, config.max_position_embeddings));
  }
  if (options.valid_vocab < 0 || options.valid_vocab > config.vocab_size) {
    return absl::InvalidArgumentError(absl::StrFormat("valid_vocab: got %d, wanted 1 to the model's %d, or 0",
                                                      options.valid_vocab, config.vocab_size));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<InProcessWorkerGroup>> InProcessWorkerGroup::Create(const Checkpoint& checkpoint,
                                                                                   const WorkerGroupOptions& options,
                                                                                   const BackendFactory& make_backend,
                                                                                   const Clock& clock,
                                                                                   const GroupLoadProgress& progress) {
  const ModelConfig& config = checkpoint.config();
  TESSERA_RETURN_IF_ERROR(tessera::Validate(options, config));
  TESSERA_ASSIGN_OR_RETURN(MemoryPlan memory, PlanMemory(config, {.num_ranks = options.num_ranks,
                                                                  .precision = options.precision,
                                                                  .mtp = options.draft_tokens > 0,
                                                                  .step_tokens_max = options.step_tokens_max,
                                                                  .num_blocks = options.num_blocks,
                                                                  .cache_bytes_max = options.cache_bytes_max}));
  const WorkerLimits limits{.num_ranks = options.num_ranks,
                            .num_blocks = memory.num_blocks,
                            .block_tokens = kBlockTokens,
                            .step_tokens_max = options.step_tokens_max,
                            .sequences_max = options.sequences_max,
                            .context_tokens_max = options.context_tokens_max > 0 ? options.context_tokens_max
                                                                                 : config.max_position_embeddings,
                            .vocab_size = config.vocab_size,
                            .draft_tokens_max = options.draft_tokens};
  std::vector<std::unique_ptr<ExpertExchange>> exchanges = MakeExchanges(config, options);
  std::vector<std::unique_ptr<RankWorker>> ranks;
  for (int32_t rank = 0; rank < options.num_ranks; ++rank) {
    TESSERA_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, make_backend(rank));
    const auto report = [&](int64_t done, int64_t total) {
      if (progress) progress(rank * total + done, options.num_ranks * total);
    };
    TESSERA_ASSIGN_OR_RETURN(
        std::unique_ptr<RankWorker> worker,
        RankWorker::Create(checkpoint, RankOptions(config, options, limits, rank), std::move(backend),
                           std::move(exchanges[static_cast<size_t>(rank)]), clock, report));
    memory.weights_bytes = worker->weights_bytes();
    ranks.push_back(std::move(worker));
  }
  auto group = std::make_unique<Group>(limits, memory, std::move(ranks));
  TESSERA_RETURN_IF_ERROR(group->Start());
  return group;
}

}  // namespace tessera
