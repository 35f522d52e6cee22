#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace tessera {

struct TestBackend {
  std::string name;
  std::function<std::unique_ptr<Backend>()> make;
};
inline void PrintTo(const TestBackend& backend, std::ostream* out) { *out << backend.name; }

// The reference and every form of the CPU backend that this machine can run.
std::vector<TestBackend> TestBackends();

}  // namespace tessera
