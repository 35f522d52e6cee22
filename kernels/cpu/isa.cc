#include "kernels/cpu/isa.h"

#include <array>

#include "base/check.h"

namespace tessera::cpu {
namespace {

constexpr std::array kNames = {std::string_view("scalar"), std::string_view("avx2"), std::string_view("avx512"),
                               std::string_view("avx512_bf16")};

}  // namespace

// The compiler's run-time checks include that the operating system saves the wide registers (XGETBV).
Isa DetectIsa() {
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return Isa::kScalar;
  if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))) {
    return Isa::kAvx2;
  }
  // Byte permutations expand FP8; every CPU with AVX512_BF16 but Cooper Lake has them.
  const bool bf16 = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
  return bf16 ? Isa::kAvx512Bf16 : Isa::kAvx512;
}

std::string_view Name(Isa isa) {
  const auto index = static_cast<size_t>(isa);
  TESSERA_CHECK(index < kNames.size());
  return kNames[index];
}

std::optional<Isa> IsaFromName(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Isa>(i);
  }
  return std::nullopt;
}

}  // namespace tessera::cpu
