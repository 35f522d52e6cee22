#include "kernels/mla_prefill.h"

#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {

absl::Status Validate(const MlaPrefillArgs& args) {
  constexpr char kOperation[] = "MlaPrefill";
  const int64_t num_heads = args.query.dim(1);
  const int64_t nope = args.query.dim(2) - args.cache.qk_rope_head_dim;
  TESSERA_RETURN_IF_ERROR(Validate(args.cache, kOperation));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "query", args.query));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "output", args.output));
  TESSERA_RETURN_IF_ERROR(ExpectPresent(kOperation, "kv_b", args.kv_b != nullptr));
  TESSERA_RETURN_IF_ERROR(
      ExpectInRange(kOperation, "query columns", args.query.dim(2), args.cache.qk_rope_head_dim + 1, INT32_MAX));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output rows", args.output.dim(0), args.query.dim(0)));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output heads", args.output.dim(1), num_heads));
  TESSERA_RETURN_IF_ERROR(
      ExpectEqual(kOperation, "kv_b rows", args.kv_b->rows(), num_heads * (nope + args.output.dim(2))));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "kv_b columns", args.kv_b->cols(), args.cache.kv_lora_rank));
  for (const PrefillSlice& slice : args.slices) {
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "slice.num_rows", slice.num_rows, 0, args.query.dim(0)));
    TESSERA_RETURN_IF_ERROR(
        ExpectInRange(kOperation, "slice.first_row", slice.first_row, 0, args.query.dim(0) - slice.num_rows));
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "slice.first_position", slice.first_position, 0, INT32_MAX));
    if (slice.num_rows == 0) continue;
    TESSERA_RETURN_IF_ERROR(
        ValidateBlockTable(args.cache, slice.block_table, slice.first_position + slice.num_rows, kOperation));
  }
  return absl::OkStatus();
}

}  // namespace tessera
