#include "worker/model/memory_plan.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_format.h"
#include "worker/cache/paged_latent_cache.h"
#include "worker/exchange/in_process_exchange.h"
#include "worker/exchange/local_exchange.h"
#include "worker/model/model.h"
#include "worker/model/mtp_module.h"

namespace tessera {
namespace {

// Weights of one rank by how they are kept.
struct WeightCounts {
  int64_t projections = 0;  // quantized in an FP8 checkpoint
  int64_t others = 0;       // embedding, head, absorbed projections: never quantized
  int64_t routers = 0;      // F32
};

void AddLayer(const ModelConfig& config, int32_t slots_per_rank, bool moe, WeightCounts& counts) {
  const int64_t hidden = config.hidden_size;
  const int64_t heads = config.num_attention_heads;
  const int64_t query = heads * config.qk_head_dim();
  const int64_t up = heads * (config.qk_nope_head_dim + config.v_head_dim) * int64_t{config.kv_lora_rank};
  counts.projections += config.q_lora_rank == 0 ? query * hidden : config.q_lora_rank * (query + hidden);
  counts.projections += (config.kv_lora_rank + config.qk_rope_head_dim) * hidden + up;
  counts.projections += heads * config.v_head_dim * hidden;
  counts.others += up;  // the same once more, per head
  if (!moe) {
    counts.projections += 3 * hidden * config.intermediate_size;
    return;
  }
  const int64_t networks = slots_per_rank + config.n_shared_experts;
  counts.projections += networks * 3 * hidden * config.moe_intermediate_size;
  counts.routers += config.n_routed_experts * hidden;
}

int64_t WeightBytes(const ModelConfig& config, const MemoryRequest& request) {
  WeightCounts counts;
  const int32_t slots_per_rank =
      (request.num_slots > 0 ? request.num_slots : config.n_routed_experts) / request.num_ranks;
  for (int32_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    AddLayer(config, slots_per_rank, config.IsMoeLayer(layer), counts);
  }
  const int64_t table = int64_t{config.vocab_size} * config.hidden_size;
  counts.others += 2 * table;
  if (request.mtp) {
    AddLayer(config, slots_per_rank, config.n_routed_experts > 0, counts);
    counts.others += 2 * int64_t{config.hidden_size} * config.hidden_size;
  }
  const int64_t width = request.precision == Precision::kF32 ? 4 : 2;
  const int64_t projection_width = request.precision == Precision::kBF16 && config.quantization ? 1 : width;
  return counts.projections * projection_width + counts.others * width + counts.routers * int64_t{sizeof(float)};
}

int64_t WorkspaceBytes(const ModelConfig& config, const MemoryRequest& request) {
  int64_t bytes = Model::WorkspaceBytes(config, request.step_tokens_max) +
                  int64_t{kLogitRowsMax} * config.vocab_size * int64_t{sizeof(float)};
  if (request.mtp) bytes += MtpModule::WorkspaceBytes(config, request.step_tokens_max);
  if (config.n_routed_experts > 0) {
    const ExchangeConfig exchange{.num_ranks = request.num_ranks,
                                  .n_routed_experts = config.n_routed_experts,
                                  .num_experts_per_tok = config.router.num_experts_per_tok,
                                  .hidden_size = config.hidden_size,
                                  .step_tokens_max = request.step_tokens_max,
                                  .num_slots = request.num_slots,
                                  .wire = WireType(request.precision)};
    bytes += request.num_ranks == 1 ? LocalExchangeBytes(exchange) : InProcessExchangeBytes(exchange);
  }
  return bytes;
}

}  // namespace

absl::StatusOr<MemoryPlan> PlanMemory(const ModelConfig& config, const MemoryRequest& request) {
  const PagedLatentCacheConfig cache{.num_layers = config.num_hidden_layers + (request.mtp ? 1 : 0),
                                     .kv_lora_rank = config.kv_lora_rank,
                                     .qk_rope_head_dim = config.qk_rope_head_dim,
                                     .dtype = request.precision == Precision::kF32 ? DType::kF32 : DType::kBF16};
  MemoryPlan plan{.weights_bytes = WeightBytes(config, request),
                  .workspace_bytes = WorkspaceBytes(config, request),
                  .cache_bytes_per_block = cache.bytes_per_block()};
  const int64_t fitting =
      request.num_blocks > 0 ? request.num_blocks : request.cache_bytes_max / cache.bytes_per_block();
  if (fitting < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("cache memory: got %d bytes, wanted at least %d, one block of %d tokens",
                        request.cache_bytes_max, cache.bytes_per_block(), kBlockTokens));
  }
  // Slots are numbered by 64-bit integers, blocks by 32-bit ones.
  plan.num_blocks =
      static_cast<int32_t>(std::min<int64_t>(fitting, std::numeric_limits<int32_t>::max() / kBlockTokens));
  return plan;
}

}  // namespace tessera
