#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/cpu/isa.h"

namespace tessera::cpu {

struct CpuOptions {
  int num_threads = 1;    // the caller's included: 1 starts no thread, so that several ranks can share a small machine
  Isa isa = DetectIsa();  // may be forced lower; must not be more than DetectIsa()
  bool pin = false;       // bind worker threads to CPUs
};

// Each backend has its own threads and work memory; several may be used at a time, each by one thread.
std::unique_ptr<Backend> MakeBackend(const CpuOptions& options);

}  // namespace tessera::cpu
