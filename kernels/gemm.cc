#include "kernels/gemm.h"

#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {

absl::Status Validate(const GemmArgs& args) {
  constexpr char kOperation[] = "Gemm";
  TESSERA_RETURN_IF_ERROR(ExpectPresent(kOperation, "weight", args.weight != nullptr));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "input", args.input));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "output", args.output));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "input columns", args.input.dim(1), args.weight->cols()));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output rows", args.output.dim(0), args.input.dim(0)));
  return ExpectEqual(kOperation, "output columns", args.output.dim(1), args.weight->rows());
}

}  // namespace tessera
