#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tessera::cpu {

// Instruction sets that have their own form of the microkernels; each includes those before it.
enum class Isa : uint8_t { kScalar, kAvx2, kAvx512, kAvx512Bf16 };

// The best one that this CPU and its operating system support.
Isa DetectIsa();

std::string_view Name(Isa isa);                         // "scalar", "avx2", "avx512", "avx512_bf16"
std::optional<Isa> IsaFromName(std::string_view name);  // the inverse of Name

}  // namespace tessera::cpu
