#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"
#include "kernels/reference/reference_matrix.h"

namespace tessera::reference {

void GatedMlp(const GatedMlpArgs& args) {
  const ReferenceMatrix& gate = ReferenceMatrix::From(args.weights.gate);
  const ReferenceMatrix& up = ReferenceMatrix::From(args.weights.up);
  std::vector<float> activation(static_cast<size_t>(gate.rows()));
  for (int64_t t = 0; t < args.input.dim(0); ++t) {
    for (int64_t f = 0; f < gate.rows(); ++f) {
      const float z = gate.Dot(f, args.input.row(t));
      activation[static_cast<size_t>(f)] = z / (1.0F + std::exp(-z)) * up.Dot(f, args.input.row(t));
    }
    Gemm({.input = {activation.data(), {1, gate.rows()}},
          .weight = args.weights.down,
          .output = args.output.Rows(t, 1),
          .accumulate = args.accumulate});
  }
}

}  // namespace tessera::reference
