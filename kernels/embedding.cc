#include "kernels/embedding.h"

#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {

absl::Status Validate(const EmbeddingArgs& args) {
  constexpr char kOperation[] = "Embedding";
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "tokens", args.tokens));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "output", args.output));
  TESSERA_RETURN_IF_ERROR(ExpectPresent(kOperation, "table", args.table.data != nullptr));
  if (args.table.dtype == DType::kF8E4M3) {
    TESSERA_RETURN_IF_ERROR(ExpectPresent(kOperation, "table.scale", args.table.scale != nullptr));
  }
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output rows", args.output.dim(0), args.tokens.dim(0)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output columns", args.output.dim(1), args.table.cols));
  for (int64_t t = 0; t < args.tokens.dim(0); ++t) {
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "token", *args.tokens.row(t), 0, args.table.rows - 1));
  }
  return absl::OkStatus();
}

}  // namespace tessera
