#pragma once

#include <memory>

#include "kernels/backend.h"

namespace tessera {

// For tests: a backend that works until `num_gemms` products have been made; then every product is Internal, "device
// lost".
std::unique_ptr<Backend> MakeFailingBackend(std::unique_ptr<Backend> backend, int num_gemms);

}  // namespace tessera
