#include "worker/model/testing/test_backends.h"

#include "kernels/reference/reference_backend.h"

namespace tessera {

std::vector<TestBackend> TestBackends() {
  return {{.name = "reference", .make = [] { return reference::MakeBackend(); }}};
}

}  // namespace tessera
