#include "kernels/moe_experts.h"

#include "base/status_macros.h"
#include "kernels/validation.h"

namespace tessera {

absl::Status Validate(const MoeExpertsArgs& args) {
  constexpr char kOperation[] = "MoeExperts";
  const auto num_pairs = static_cast<int64_t>(args.pair_token.size());
  const auto num_experts = static_cast<int64_t>(args.experts.size());
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "input", args.input));
  TESSERA_RETURN_IF_ERROR(ExpectMemory(kOperation, "output", args.output));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output rows", args.output.dim(0), num_pairs));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "output columns", args.output.dim(1), args.input.dim(1)));
  TESSERA_RETURN_IF_ERROR(
      ExpectEqual(kOperation, "expert_begin size", static_cast<int64_t>(args.expert_begin.size()), num_experts + 1));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "expert_begin[0]", args.expert_begin.front(), 0));
  TESSERA_RETURN_IF_ERROR(ExpectEqual(kOperation, "last of expert_begin", args.expert_begin.back(), num_pairs));
  for (size_t e = 0; e < args.experts.size(); ++e) {
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "end of an expert's pairs", args.expert_begin[e + 1],
                                          args.expert_begin[e], num_pairs));
    TESSERA_RETURN_IF_ERROR(Validate(args.experts[e], args.input.dim(1), kOperation));
  }
  for (const int32_t token : args.pair_token) {
    TESSERA_RETURN_IF_ERROR(ExpectInRange(kOperation, "pair_token", token, 0, args.input.dim(0) - 1));
  }
  return absl::OkStatus();
}

}  // namespace tessera
