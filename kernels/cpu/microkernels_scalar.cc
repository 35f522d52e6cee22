// The only code compiled for this instruction set: everything here has internal linkage, so that no inline function
// compiled for it can be linked into code that runs on older CPUs. Include nothing that defines others.

#include "kernels/cpu/microkernels.h"

// Each of these builds on those before it.
// clang-format off
#include "kernels/cpu/unroll.inc"
#include "kernels/cpu/simd_scalar.inc"
#include "kernels/cpu/gemm_kernels.inc"
#include "kernels/cpu/row_kernels.inc"
// clang-format on

namespace tessera::cpu {
namespace {

#include "kernels/cpu/microkernel_table.inc"

constexpr Microkernels kMicrokernels = MakeMicrokernels(Isa::kScalar);

}  // namespace

const Microkernels& ScalarMicrokernels() { return kMicrokernels; }

}  // namespace tessera::cpu
