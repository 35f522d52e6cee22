#pragma once

// Every operation as plain loops with float sums: the oracle of every test, to be read beside the operation's header.
// Weights are ReferenceMatrix. Operands of products are rounded as the precision says; attention over a BF16 cache
// rounds its queries, keys and values to BF16 as well, and keeps probabilities in F32.

#include "kernels/combine.h"
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

namespace tessera::reference {

void Embedding(const EmbeddingArgs& args);
void RmsNorm(const RmsNormArgs& args);
void Gemm(const GemmArgs& args);
void Rope(const RopeArgs& args);
void LatentWrite(const LatentWriteArgs& args);
void MlaPrefill(const MlaPrefillArgs& args);
void AbsorbQuery(const AbsorbQueryArgs& args);
void MlaDecode(const MlaDecodeArgs& args);
void ExpandOutput(const ExpandOutputArgs& args);
void Router(const RouterArgs& args);
void GatedMlp(const GatedMlpArgs& args);
void MoeExperts(const MoeExpertsArgs& args);
void Combine(const CombineArgs& args);

}  // namespace tessera::reference
