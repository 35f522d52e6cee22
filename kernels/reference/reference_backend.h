#pragma once

#include <memory>

#include "kernels/backend.h"

namespace tessera::reference {

// The oracle as a backend, for tests and for debugging a model. Slow on purpose.
std::unique_ptr<Backend> MakeBackend();

}  // namespace tessera::reference
