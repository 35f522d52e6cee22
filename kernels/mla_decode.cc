#include "kernels/mla_decode.h"

#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {
namespace {

// Each head has one matrix of the given shape.
absl::Status ValidateHeads(std::string_view operation, std::span<const PackedMatrix* const> heads, int64_t num_heads,
                           int64_t rows, int64_t cols) {
  TESSERA_RETURN_IF_ERROR(ExpectEqual(operation, "matrices", static_cast<int64_t>(heads.size()), num_heads));
  for (const PackedMatrix* head : heads) {
    TESSERA_RETURN_IF_ERROR(ExpectPresent(operation, "matrix of a head", head != nullptr));
    TESSERA_RETURN_IF_ERROR(ExpectEqual(operation, "rows of a head's matrix", head->rows(), rows));
    TESSERA_RETURN_IF_ERROR(ExpectEqual(operation, "columns of a head's matrix", head->cols(), cols));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const AbsorbQueryArgs& args) {
  constexpr char kOperation[] = "AbsorbQuery";
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "query", args.query));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "absorbed", args.absorbed));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "absorbed rows", args.absorbed.dim(0), args.query.dim(0)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "absorbed heads", args.absorbed.dim(1), args.query.dim(1)));
  if (args.w_uk.empty() || args.w_uk[0] == nullptr) return ExpectPresent(kOperation, "w_uk", args.query.dim(1) == 0);
  const int64_t kv_lora_rank = args.w_uk[0]->rows();
  const int64_t nope = args.w_uk[0]->cols();
  TESSERA_RETURN_IF_ERROR(ValidateHeads(kOperation, args.w_uk, args.query.dim(1), kv_lora_rank, nope));
  TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "query columns", args.query.dim(2), nope, INT32_MAX));
  return ExpectEqual(kOperation, "absorbed columns", args.absorbed.dim(2), kv_lora_rank + args.query.dim(2) - nope);
}

absl::Status Validate(const MlaDecodeArgs& args) {
  constexpr char kOperation[] = "MlaDecode";
  const int64_t num_queries = args.absorbed.dim(0);
  TESSERA_RETURN_IF_ERROR(Validate(args.cache, kOperation));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "absorbed", args.absorbed));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "num_tokens", args.num_tokens));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "output", args.output));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "absorbed columns", args.absorbed.dim(2), args.cache.row_values()));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output rows", args.output.dim(0), num_queries));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output heads", args.output.dim(1), args.absorbed.dim(1)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output columns", args.output.dim(2), args.cache.kv_lora_rank));
  TESSERA_RETURN_IF_ERROR(
      ExpectEqual(kOperation, "block tables", static_cast<int64_t>(args.block_tables.size()), num_queries));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "num_tokens size", args.num_tokens.dim(0), num_queries));
  for (int64_t s = 0; s < num_queries; ++s) {
    const int32_t num_tokens = *args.num_tokens.row(s);
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "num_tokens", num_tokens, 1, INT32_MAX));
    TESSERA_RETURN_IF_ERROR(
        ValidateBlockTable(args.cache, args.block_tables[static_cast<size_t>(s)], num_tokens, kOperation));
  }
  return absl::OkStatus();
}

absl::Status Validate(const ExpandOutputArgs& args) {
  constexpr char kOperation[] = "ExpandOutput";
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "latent_output", args.latent_output));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "output", args.output));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output rows", args.output.dim(0), args.latent_output.dim(0)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output heads", args.output.dim(1), args.latent_output.dim(1)));
  return ValidateHeads(kOperation, args.w_uv, args.latent_output.dim(1), args.output.dim(2), args.latent_output.dim(2));
}

}  // namespace tessera
