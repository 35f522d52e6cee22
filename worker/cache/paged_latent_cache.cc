#include "worker/cache/paged_latent_cache.h"

#include <cstring>
#include <new>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace tessera {
namespace {

constexpr std::align_val_t kAlignment{64};
constexpr int kNaNByte = 0xFF;  // all bits set is a NaN in F32 and in BF16

}  // namespace

void PagedLatentCache::Free::operator()(std::byte* memory) const { ::operator delete[](memory, kAlignment); }

absl::StatusOr<std::unique_ptr<PagedLatentCache>> PagedLatentCache::Create(const PagedLatentCacheConfig& config) {
  TESSERA_CHECK(config.num_layers > 0 && config.kv_lora_rank > 0 && config.qk_rope_head_dim >= 0);
  TESSERA_CHECK(config.dtype == DType::kF32 || config.dtype == DType::kBF16);
  if (config.num_blocks <= 0) {
    return absl::InvalidArgumentError(absl::StrFormat("cache: got %d blocks, wanted at least 1", config.num_blocks));
  }
  const int64_t bytes = config.num_blocks * config.bytes_per_block();
  auto* memory = static_cast<std::byte*>(::operator new[](static_cast<size_t>(bytes), kAlignment, std::nothrow));
  if (memory == nullptr) {
    return absl::ResourceExhaustedError(absl::StrFormat("cache: no memory for %d blocks of %d bytes, %.2f GiB in all",
                                                        config.num_blocks, config.bytes_per_block(),
                                                        static_cast<double>(bytes) / (1 << 30)));
  }
  std::memset(memory, config.poison ? kNaNByte : 0, static_cast<size_t>(bytes));
  return std::unique_ptr<PagedLatentCache>(new PagedLatentCache(config, memory));
}

LatentCacheView PagedLatentCache::Layer(int32_t layer) const {
  TESSERA_CHECK(layer >= 0 && layer < config_.num_layers);
  return {.data = memory_.get() + layer * config_.num_blocks * bytes_per_layer_block(),
          .dtype = config_.dtype,
          .num_blocks = config_.num_blocks,
          .kv_lora_rank = config_.kv_lora_rank,
          .qk_rope_head_dim = config_.qk_rope_head_dim};
}

void PagedLatentCache::PoisonBlock(BlockId block) {
  TESSERA_CHECK(block >= 0 && block < config_.num_blocks);
  if (!config_.poison) return;
  for (int32_t layer = 0; layer < config_.num_layers; ++layer) {
    std::memset(Layer(layer).Row(int64_t{block} * kBlockTokens), kNaNByte,
                static_cast<size_t>(bytes_per_layer_block()));
  }
}

}  // namespace tessera
