#include "cmd/engine.h"

#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "cmd/available_memory.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/latent_cache.h"
#include "worker/checkpoint/progress_reporter.h"
#include "worker/model/memory_plan.h"

namespace tessera {
namespace {

constexpr double kGiB = 1 << 30;

absl::StatusOr<Precision> ParsePrecision(const std::string& name) {
  if (name == "bf16") return Precision::kBF16;
  if (name == "f32") return Precision::kF32;
  return absl::InvalidArgumentError(absl::StrFormat("--precision: got '%s', wanted bf16 or f32", name));
}

absl::StatusOr<cpu::Isa> ParseIsa(const std::string& name) {
  if (name == "auto") return cpu::DetectIsa();
  const std::optional<cpu::Isa> isa = cpu::IsaFromName(name);
  if (!isa.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--isa: got '%s', wanted auto, scalar, avx2, avx512 or avx512_bf16", name));
  }
  if (*isa > cpu::DetectIsa()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--isa: got '%s', but this machine has '%s' at best", name, cpu::Name(cpu::DetectIsa())));
  }
  return *isa;
}

// Each rank runs its own threads; a group of more ranks than cores gives each one.
BackendFactory CpuBackends(const EngineOptions& options, cpu::Isa isa) {
  const int per_rank = std::max(1, NumThreads(options) / std::max(1, options.num_ranks));
  return [per_rank, isa](int32_t) -> absl::StatusOr<std::unique_ptr<Backend>> {
    return cpu::MakeBackend({.num_threads = per_rank, .isa = isa});
  };
}

// Fills in the cache of each rank: the limit given, or a quarter of the memory left beside the weights, but never more
// than all sequences at full length can use. Refuses what cannot fit into the machine, before anything is loaded.
absl::Status PlanCache(const ModelConfig& config, const EngineOptions& options, WorkerGroupOptions& group) {
  const int32_t context = group.context_tokens_max > 0 ? group.context_tokens_max : config.max_position_embeddings;
  MemoryRequest request{.num_ranks = group.num_ranks,
                        .precision = group.precision,
                        .mtp = group.draft_tokens > 0,
                        .step_tokens_max = group.step_tokens_max,
                        .num_blocks = 1};
  TESSERA_ASSIGN_OR_RETURN(const MemoryPlan plan, PlanMemory(config, request));
  const int64_t fixed = group.num_ranks * (plan.weights_bytes + plan.workspace_bytes);
  TESSERA_ASSIGN_OR_RETURN(const int64_t available, AvailableMemory());
  if (fixed > available) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("weights and work space of %d ranks need %.1f GiB, this machine has %.1f GiB free",
                        group.num_ranks, static_cast<double>(fixed) / kGiB, static_cast<double>(available) / kGiB));
  }
  const int64_t blocks_useful = int64_t{group.sequences_max} * ((context + kBlockTokens - 1) / kBlockTokens);
  int64_t limit = (available - fixed) / 4 / group.num_ranks;
  if (!options.cache_memory.empty()) {
    TESSERA_ASSIGN_OR_RETURN(const int64_t total, ParseBytes(options.cache_memory));
    limit = total / group.num_ranks;
    if (fixed + total > available) {
      return absl::ResourceExhaustedError(
          absl::StrFormat("weights, work space and --cache-memory need %.1f GiB, this machine has %.1f GiB free",
                          static_cast<double>(fixed + total) / kGiB, static_cast<double>(available) / kGiB));
    }
  }
  group.cache_bytes_max = std::min(limit, blocks_useful * plan.cache_bytes_per_block);
  return absl::OkStatus();
}

}  // namespace

void AddEngineFlags(CLI::App& app, EngineOptions& options) {
  const std::string group = "Engine";
  app.add_option("--ranks", options.num_ranks, "Expert-parallel ranks in this process")->group(group);
  app.add_option("--threads", options.num_threads, "Threads of all ranks together (default: one for each core)")
      ->group(group);
  app.add_option("--precision", options.precision, "bf16 (default) or f32")->group(group);
  app.add_option("--isa", options.isa, "auto (default), scalar, avx2, avx512 or avx512_bf16")->group(group);
  app.add_option("--cache-memory", options.cache_memory,
                 "Latent cache of all ranks, e.g. 2GiB (default: a quarter of "
                 "what is free)")
      ->group(group);
  app.add_option("--context", options.context_tokens_max,
                 "Tokens of a request, prompt and answer (default: the model's)")
      ->group(group);
  app.add_option("--step-tokens", options.step_tokens_max, "Tokens one rank runs in one step (default: 2048)")
      ->group(group);
  app.add_option("--max-sequences", options.sequences_max, "Requests that run at a time on one rank (default: 256)")
      ->group(group);
  app.add_option("--max-queue", options.queue_requests_max, "Requests that may wait; more are refused (default: 4096)")
      ->group(group);
  app.add_flag("--no-prefix-cache", options.no_prefix_cache,
               "Compute every prompt from its beginning instead of sharing what earlier ones left in the cache")
      ->group(group);
  app.add_option("--mtp", options.draft_tokens,
                 "Tokens that the multi-token prediction module guesses ahead in a step, 0 (off) to 4; the answers are "
                 "the same (default: 0)")
      ->check(CLI::Range(0, kDraftTokensMax))
      ->group(group);
  app.add_flag("--poison-cache", options.poison_cache,
               "For debugging: fill unwritten cache with NaN, so that a request that reads it fails")
      ->group(group);
  app.add_option("--chat-format", options.chat_format,
                 "v2, v3, r1-2025-01, r1 or v3.1 (default: by the checkpoint's "
                 "chat template)")
      ->group(group);
}

int NumThreads(const EngineOptions& options) {
  return options.num_threads > 0 ? options.num_threads : static_cast<int>(std::thread::hardware_concurrency());
}

absl::StatusOr<int64_t> ParseBytes(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  double scale = 0;
  if (unit.empty() || unit == "B") scale = 1;
  if (unit == "KiB" || unit == "K") scale = 1 << 10;
  if (unit == "MiB" || unit == "M") scale = 1 << 20;
  if (unit == "GiB" || unit == "G") scale = 1 << 30;
  if (unit == "KB") scale = 1e3;
  if (unit == "MB") scale = 1e6;
  if (unit == "GB") scale = 1e9;
  const double bytes = number * scale;
  if (end == text.c_str() || !(bytes >= 1 && bytes < 9e18)) {
    return absl::InvalidArgumentError(absl::StrFormat("got '%s', wanted a size such as 512MiB or 2GiB", text));
  }
  return static_cast<int64_t>(bytes);
}

absl::StatusOr<std::unique_ptr<InProcessWorkerGroup>> LoadWorkerGroup(const Checkpoint& checkpoint,
                                                                      const EngineOptions& options, int32_t valid_vocab,
                                                                      const Clock& clock) {
  WorkerGroupOptions group{.num_ranks = options.num_ranks,
                           .draft_tokens = options.draft_tokens,
                           .step_tokens_max = options.step_tokens_max,
                           .sequences_max = options.sequences_max,
                           .context_tokens_max = options.context_tokens_max,
                           .valid_vocab = valid_vocab,
                           .poison_cache = options.poison_cache};
  TESSERA_ASSIGN_OR_RETURN(group.precision, ParsePrecision(options.precision));
  TESSERA_ASSIGN_OR_RETURN(const cpu::Isa isa, ParseIsa(options.isa));
  TESSERA_RETURN_IF_ERROR(Validate(group, checkpoint.config()));
  TESSERA_RETURN_IF_ERROR(PlanCache(checkpoint.config(), options, group));
  const std::unique_ptr<ProgressReporter> reporter = MakeProgressReporter("loading", stderr, clock);
  const absl::Time start = clock.Now();
  TESSERA_ASSIGN_OR_RETURN(
      std::unique_ptr<InProcessWorkerGroup> worker,
      InProcessWorkerGroup::Create(checkpoint, group, CpuBackends(options, isa), clock,
                                   [&](int64_t done, int64_t total) { reporter->Update(done, total); }));
  const MemoryPlan& memory = worker->memory();
  spdlog::info(
      "loaded in {:.1f} s; each of {} ranks: weights {:.2f} GiB, work space {:.2f} GiB, cache {:.2f} GiB ({} tokens)",
      absl::ToDoubleSeconds(clock.Now() - start), options.num_ranks, static_cast<double>(memory.weights_bytes) / kGiB,
      static_cast<double>(memory.workspace_bytes) / kGiB, static_cast<double>(memory.cache_bytes()) / kGiB,
      int64_t{memory.num_blocks} * kBlockTokens);
  return worker;
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Start(const std::string& folder, const EngineOptions& options,
                                                      const Clock& clock) {
  auto engine = std::unique_ptr<Engine>(new Engine());
  TESSERA_ASSIGN_OR_RETURN(engine->checkpoint_, Checkpoint::Open(folder));
  const ModelConfig& config = engine->checkpoint_->config();
  TESSERA_ASSIGN_OR_RETURN(engine->tokenizer_, Tokenizer::Load(folder));
  const int32_t num_ids = engine->tokenizer_->num_ids();
  if (num_ids > config.vocab_size) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: tokenizer.json has ids up to %d, config.json's vocab_size is %d", folder, num_ids - 1, config.vocab_size));
  }
  TESSERA_ASSIGN_OR_RETURN(const ChatFormat format,
                           ChatFormat::Detect(engine->tokenizer_->config().chat_template, *engine->tokenizer_,
                                              config.model_type, options.chat_format));
  engine->chat_format_ = std::make_unique<const ChatFormat>(format);
  spdlog::info("{}: {}, {} layers, {} routed experts; chat format {}", folder, config.architecture,
               config.num_hidden_layers, config.n_routed_experts, ChatFormatName(engine->chat_format_->kind()));

  TESSERA_ASSIGN_OR_RETURN(engine->worker_, LoadWorkerGroup(*engine->checkpoint_, options, num_ids, clock));
  std::random_device random;  // a salt that nobody outside knows
  const EngineConfig engine_config{.queue_requests_max = options.queue_requests_max,
                                   .has_prefix_cache = !options.no_prefix_cache,
                                   .prefix_cache_salt = uint64_t{random()} << 32 | random()};
  TESSERA_RETURN_IF_ERROR(Validate(engine_config, engine->worker_->limits()));
  engine->loop_ = std::make_unique<EngineLoop>(engine_config, clock, *engine->worker_, engine->relay_);
  TESSERA_RETURN_IF_ERROR(engine->loop_->WarmUp());
  engine->thread_ = std::thread([loop = engine->loop_.get()] { loop->Run(); });
  return engine;
}

void Engine::Stop() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

Engine::~Engine() { Stop(); }

}  // namespace tessera
