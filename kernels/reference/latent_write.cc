#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/reference/reference.h"
#include "kernels/reference/rotation.h"

namespace tessera::reference {

void LatentWrite(const LatentWriteArgs& args) {
  const LatentCacheView& cache = args.cache;
  for (int64_t t = 0; t < args.compressed.dim(0); ++t) {
    const float* input = args.compressed.row(t);
    std::vector<float> row(input, input + cache.row_values());
    RmsNorm({.input = {input, {1, cache.kv_lora_rank}},
             .weight = args.norm_weight,
             .epsilon = args.epsilon,
             .output = {row.data(), {1, cache.kv_lora_rank}}});
    Rotate(*args.frequencies, *args.positions.row(t), row.data() + cache.kv_lora_rank);
    void* slot = cache.Row(*args.slots.row(t));
    for (size_t i = 0; i < row.size(); ++i) {
      if (cache.dtype == DType::kF32) {
        static_cast<float*>(slot)[i] = row[i];
      } else {
        static_cast<BFloat16*>(slot)[i] = BFloat16(row[i]);
      }
    }
  }
}

}  // namespace tessera::reference
