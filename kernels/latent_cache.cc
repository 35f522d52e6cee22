#include "kernels/latent_cache.h"

#include "absl/container/flat_hash_set.h"
#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {

absl::Status Validate(const LatentCacheView& cache, std::string_view operation) {
  TESSERA_RETURN_IF_ERROR(ExpectPresent(operation, "cache", cache.data != nullptr || cache.num_blocks == 0));
  if (cache.dtype != DType::kBF16 && cache.dtype != DType::kF32) {
    return Refuse(operation, "cache.dtype", "another type", "BF16 or F32");
  }
  TESSERA_RETURN_IF_ERROR(ExpectInRange(operation, "cache.num_blocks", cache.num_blocks, 0, INT32_MAX));
  TESSERA_RETURN_IF_ERROR(ExpectInRange(operation, "cache.kv_lora_rank", cache.kv_lora_rank, 1, INT32_MAX));
  return ExpectInRange(operation, "cache.qk_rope_head_dim", cache.qk_rope_head_dim, 0, INT32_MAX);
}

absl::Status ValidateBlockTable(const LatentCacheView& cache, std::span<const int32_t> block_table, int64_t num_tokens,
                                std::string_view operation) {
  const int64_t num_blocks = (num_tokens + kBlockTokens - 1) / kBlockTokens;
  TESSERA_RETURN_IF_ERROR(ExpectInRange(operation, "blocks in a block table", static_cast<int64_t>(block_table.size()),
                                        num_blocks, INT64_MAX));
  for (const int32_t block : block_table.first(static_cast<size_t>(num_blocks))) {
    TESSERA_RETURN_IF_ERROR(ExpectInRange(operation, "block", block, 0, cache.num_blocks - 1));
  }
  return absl::OkStatus();
}

absl::Status Validate(const LatentWriteArgs& args) {
  constexpr char kOperation[] = "LatentWrite";
  const int64_t num_tokens = args.compressed.dim(0);
  TESSERA_RETURN_IF_ERROR(Validate(args.cache, kOperation));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "compressed", args.compressed));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "norm_weight", args.norm_weight));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "positions", args.positions));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "slots", args.slots));
  TESSERA_RETURN_IF_ERROR(ExpectPresent(kOperation, "frequencies", args.frequencies != nullptr));
  TESSERA_RETURN_IF_ERROR(
      ExpectEqual(kOperation, "compressed columns", args.compressed.dim(1), args.cache.row_values()));
  TESSERA_RETURN_IF_ERROR(
      ExpectEqual(kOperation, "norm_weight size", args.norm_weight.dim(0), args.cache.kv_lora_rank));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "2 · frequencies",
                                      2 * static_cast<int64_t>(args.frequencies->inverse_frequency.size()),
                                      args.cache.qk_rope_head_dim));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "positions size", args.positions.dim(0), num_tokens));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "slots size", args.slots.dim(0), num_tokens));
  if (!(args.epsilon >= 0)) return Refuse(kOperation, "epsilon", absl::StrFormat("%g", args.epsilon), "0 or more");
  absl::flat_hash_set<int64_t> seen;
  for (int64_t t = 0; t < num_tokens; ++t) {
    const int64_t slot = *args.slots.row(t);
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "position", *args.positions.row(t), 0, INT32_MAX));
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "slot", slot, 0, args.cache.num_blocks * kBlockTokens - 1));
    if (!seen.insert(slot).second) {
      return Refuse(kOperation, "slots", absl::StrFormat("%d twice", slot), "each slot once");
    }
  }
  return absl::OkStatus();
}

}  // namespace tessera
