#include "worker/model/testing/test_backends.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/reference/reference_backend.h"

namespace tessera {

std::vector<TestBackend> TestBackends() {
  std::vector<TestBackend> backends = {{.name = "reference", .make = [] { return reference::MakeBackend(); }}};
  const cpu::Isa best = cpu::DetectIsa();
  for (const cpu::Isa isa : {cpu::Isa::kScalar, cpu::Isa::kAvx2, cpu::Isa::kAvx512, cpu::Isa::kAvx512Bf16}) {
    if (isa > best) continue;
    const int num_threads = isa == best ? 3 : 1;
    backends.push_back({.name = "cpu_" + std::string(cpu::Name(isa)),
                        .make = [=] { return cpu::MakeBackend({.num_threads = num_threads, .isa = isa}); }});
  }
  return backends;
}

}  // namespace tessera
