#include "kernels/reference/reference.h"
#include "kernels/reference/rotation.h"

namespace tessera::reference {

void Rope(const RopeArgs& args) {
  const int64_t head_size = args.query.dim(2);
  const int64_t nope = head_size - 2 * static_cast<int64_t>(args.frequencies->inverse_frequency.size());
  for (int64_t t = 0; t < args.query.dim(0); ++t) {
    for (int64_t h = 0; h < args.query.dim(1); ++h) {
      Rotate(*args.frequencies, *args.positions.row(t), args.query.row(t) + h * head_size + nope);
    }
  }
}

}  // namespace tessera::reference
