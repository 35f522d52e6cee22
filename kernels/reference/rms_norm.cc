#include <cmath>

#include "kernels/reference/reference.h"

namespace tessera::reference {

void RmsNorm(const RmsNormArgs& args) {
  const int64_t size = args.input.dim(1);
  for (int64_t t = 0; t < args.input.dim(0); ++t) {
    const float* input = args.input.row(t);
    float squares = 0;
    for (int64_t i = 0; i < size; ++i) squares += input[i] * input[i];
    const float mean = squares / static_cast<float>(size);
    const float factor = std::isfinite(mean) ? 1.0F / std::sqrt(mean + args.epsilon) : std::nanf("");
    for (int64_t i = 0; i < size; ++i) args.output.row(t)[i] = input[i] * factor * args.weight.data()[i];
  }
}

}  // namespace tessera::reference
