#include "kernels/cpu/microkernels.h"

#include "base/check.h"

namespace tessera::cpu {

const Microkernels& MicrokernelsFor(Isa isa) {
  TESSERA_CHECK(isa <= DetectIsa());
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512Bf16:
      return Avx512Bf16Microkernels();
    case Isa::kAvx512:
      return Avx512Microkernels();
    case Isa::kAvx2:
      return Avx2Microkernels();
#endif
    default:
      return ScalarMicrokernels();
  }
}

}  // namespace tessera::cpu
