#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/latent_cache.h"

namespace tessera::reference {

// The cached values of token `index` of a sequence, [R + P].
inline std::vector<float> LatentRow(const LatentCacheView& cache, std::span<const int32_t> block_table, int64_t index) {
  const int64_t block = block_table[static_cast<size_t>(index / kBlockTokens)];
  const void* row = cache.Row(block * kBlockTokens + index % kBlockTokens);
  std::vector<float> values(static_cast<size_t>(cache.row_values()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = cache.dtype == DType::kF32 ? static_cast<const float*>(row)[i]
                                           : static_cast<float>(static_cast<const BFloat16*>(row)[i]);
  }
  return values;
}

}  // namespace tessera::reference
