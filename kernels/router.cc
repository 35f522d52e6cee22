#include "kernels/router.h"

#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {
namespace {

constexpr char kOperation[] = "Router";

absl::Status ValidateParams(const RouterParams& params, int64_t num_experts) {
  TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "num_experts_per_tok", params.num_experts_per_tok, 1, num_experts));
  TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "n_group", params.n_group, 1, num_experts));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "experts left over by n_group", num_experts % params.n_group, 0));
  TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "topk_group", params.topk_group, 1, params.n_group));
  const int64_t group_size = num_experts / params.n_group;
  if (params.method != TopkMethod::kGreedy) {
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "experts that topk_group allows", params.topk_group * group_size,
                                          params.num_experts_per_tok, num_experts));
  }
  if (params.method == TopkMethod::kNoAuxTc && params.n_group > 1) {
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "experts in a group", group_size, 2, num_experts));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const RouterArgs& args) {
  const int64_t num_tokens = args.logits.dim(0);
  const int64_t num_experts = args.logits.dim(1);
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "logits", args.logits));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "bias", args.bias));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "experts", args.experts));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "weights", args.weights));
  TESSERA_RETURN_IF_ERROR(ValidateParams(args.params, num_experts));
  const bool wants_bias = args.params.method == TopkMethod::kNoAuxTc;
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "bias size", args.bias.dim(0), wants_bias ? num_experts : 0));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "experts rows", args.experts.dim(0), num_tokens));
  TESSERA_RETURN_IF_ERROR(
      ExpectEqual(kOperation, "experts columns", args.experts.dim(1), args.params.num_experts_per_tok));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "weights rows", args.weights.dim(0), num_tokens));
  return ExpectEqual(kOperation, "weights columns", args.weights.dim(1), args.params.num_experts_per_tok);
}

}  // namespace tessera
