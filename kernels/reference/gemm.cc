#include "kernels/reference/reference.h"
#include "kernels/reference/reference_matrix.h"

namespace tessera::reference {

void Gemm(const GemmArgs& args) {
  const ReferenceMatrix& weight = ReferenceMatrix::From(args.weight);
  for (int64_t m = 0; m < args.input.dim(0); ++m) {
    for (int64_t n = 0; n < weight.rows(); ++n) {
      float& output = args.output.row(m)[n];
      const float product = weight.Dot(n, args.input.row(m));
      output = args.accumulate ? output + product : product;
    }
  }
}

}  // namespace tessera::reference
