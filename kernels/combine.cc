#include "kernels/combine.h"

#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {

absl::Status Validate(const CombineArgs& args) {
  constexpr char kOperation[] = "Combine";
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "contributions", args.contributions));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "weights", args.weights));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "output", args.output));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "weights rows", args.weights.dim(0), args.contributions.dim(0)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "weights columns", args.weights.dim(1), args.contributions.dim(1)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output rows", args.output.dim(0), args.contributions.dim(0)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output columns", args.output.dim(1), args.contributions.dim(2)));
  if (args.rounding != DType::kBF16 && args.rounding != DType::kF32) {
    return Refuse(kOperation, "rounding", "another type", "BF16 or F32");
  }
  return absl::OkStatus();
}

}  // namespace tessera
