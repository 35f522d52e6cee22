#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "kernels/latent_cache.h"

namespace tessera {

struct PagedLatentCacheConfig {
  int32_t num_layers = 0;  // the MTP layer included
  int32_t num_blocks = 0;
  int32_t kv_lora_rank = 0;
  int32_t qk_rope_head_dim = 0;
  DType dtype = DType::kBF16;
  bool poison = false;  // fill with NaN what no token was written to; for tests and debugging

  // Of one block in all layers.
  int64_t bytes_per_block() const {
    return int64_t{num_layers} * kBlockTokens * (kv_lora_rank + qk_rope_head_dim) * SizeOf(dtype);
  }
};

// The memory of one rank's latent cache: [layers, blocks, kBlockTokens, R + P]. All of it is touched at construction,
// so that a machine with too little memory fails at start. Not thread-safe.
class PagedLatentCache {
 public:
  // ResourceExhausted, with the numbers, if the memory is not there.
  static absl::StatusOr<std::unique_ptr<PagedLatentCache>> Create(const PagedLatentCacheConfig& config);

  const PagedLatentCacheConfig& config() const { return config_; }
  LatentCacheView Layer(int32_t layer) const;

  // Fills a block of every layer with NaN, if the cache was made with `poison`.
  void PoisonBlock(BlockId block);

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };

  PagedLatentCache(const PagedLatentCacheConfig& config, std::byte* memory) : config_(config), memory_(memory) {}
  int64_t bytes_per_layer_block() const { return config_.bytes_per_block() / config_.num_layers; }

  PagedLatentCacheConfig config_;
  std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace tessera
