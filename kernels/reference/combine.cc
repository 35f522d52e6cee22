#include "kernels/bfloat16.h"
#include "kernels/reference/reference.h"

namespace tessera::reference {

void Combine(const CombineArgs& args) {
  const int64_t size = args.contributions.dim(2);
  for (int64_t t = 0; t < args.contributions.dim(0); ++t) {
    for (int64_t k = 0; k < args.contributions.dim(1); ++k) {
      const float* contribution = args.contributions.row(t) + k * size;
      for (int64_t i = 0; i < size; ++i) {
        const float value = args.rounding == DType::kBF16 ? RoundToBFloat16(contribution[i]) : contribution[i];
        args.output.row(t)[i] += args.weights.row(t)[k] * value;
      }
    }
  }
}

}  // namespace tessera::reference
