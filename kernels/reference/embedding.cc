#include "kernels/reference/reference.h"

namespace tessera::reference {

void Embedding(const EmbeddingArgs& args) {
  for (int64_t t = 0; t < args.tokens.dim(0); ++t)
    Dequantize(args.table.Rows(*args.tokens.row(t), 1), args.output.row(t));
}

}  // namespace tessera::reference
