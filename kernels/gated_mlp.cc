#include "kernels/gated_mlp.h"

#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {

absl::Status Validate(const GatedMlpWeights& weights, int64_t hidden_size, std::string_view operation) {
  TESSERA_RETURN_IF_ERROR(ExpectPresent(operation, "gate", weights.gate != nullptr));
  TESSERA_RETURN_IF_ERROR(ExpectPresent(operation, "up", weights.up != nullptr));
  TESSERA_RETURN_IF_ERROR(ExpectPresent(operation, "down", weights.down != nullptr));
  const int64_t intermediate_size = weights.gate->rows();
  TESSERA_RETURN_IF_ERROR(ExpectEqual(operation, "gate columns", weights.gate->cols(), hidden_size));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(operation, "up rows", weights.up->rows(), intermediate_size));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(operation, "up columns", weights.up->cols(), hidden_size));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(operation, "down rows", weights.down->rows(), hidden_size));
  return ExpectEqual(operation, "down columns", weights.down->cols(), intermediate_size);
}

absl::Status Validate(const GatedMlpArgs& args) {
  constexpr char kOperation[] = "GatedMlp";
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "input", args.input));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "output", args.output));
  TESSERA_RETURN_IF_ERROR(Validate(args.weights, args.input.dim(1), kOperation));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output rows", args.output.dim(0), args.input.dim(0)));
  return ExpectEqual(kOperation, "output columns", args.output.dim(1), args.input.dim(1));
}

}  // namespace tessera
