#pragma once

// The operations on a CPU. Each equals its namesake in reference/ up to rounding, and is batch-invariant: a row's
// result depends neither on the other rows nor on the number of threads. Weights are CpuMatrix.

#include "kernels/combine.h"
#include "kernels/cpu/context.h"
#include "kernels/embedding.h"
#include "kernels/gated_mlp.h"
#include "kernels/gemm.h"
#include "kernels/latent_cache.h"
#include "kernels/mla_decode.h"
#include "kernels/mla_prefill.h"
#include "kernels/moe_experts.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/router.h"

namespace tessera::cpu {

void Embedding(const EmbeddingArgs& args, Context& context);
void RmsNorm(const RmsNormArgs& args, Context& context);
void Gemm(const GemmArgs& args, Context& context);
void Rope(const RopeArgs& args, Context& context);
void LatentWrite(const LatentWriteArgs& args, Context& context);
void MlaPrefill(const MlaPrefillArgs& args, Context& context);
void AbsorbQuery(const AbsorbQueryArgs& args, Context& context);
void MlaDecode(const MlaDecodeArgs& args, Context& context);
void ExpandOutput(const ExpandOutputArgs& args, Context& context);
void Router(const RouterArgs& args, Context& context);
void GatedMlp(const GatedMlpArgs& args, Context& context);
void MoeExperts(const MoeExpertsArgs& args, Context& context);
void Combine(const CombineArgs& args, Context& context);

}  // namespace tessera::cpu
