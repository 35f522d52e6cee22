#pragma once

#include <cstdint>
#include <string>

namespace tessera {

// Memory of this process that is in RAM now, shared pages included; 0 if the system does not say.
int64_t ResidentBytes();

// "AMD EPYC 9R14" or the like; "unknown CPU" if the system does not say.
std::string CpuModelName();

}  // namespace tessera
