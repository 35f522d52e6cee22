#include "kernels/rms_norm.h"

#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {

absl::Status Validate(const RmsNormArgs& args) {
  constexpr char kOperation[] = "RmsNorm";
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "input", args.input));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "weight", args.weight));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "output", args.output));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "weight size", args.weight.dim(0), args.input.dim(1)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output rows", args.output.dim(0), args.input.dim(0)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output columns", args.output.dim(1), args.input.dim(1)));
  if (!(args.epsilon >= 0)) {  // written so that NaN fails too
    return Refuse(kOperation, "epsilon", absl::StrFormat("%g", args.epsilon), "0 or more");
  }
  return absl::OkStatus();
}

}  // namespace tessera
