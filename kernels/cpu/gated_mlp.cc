#include "kernels/cpu/feed_forward.h"
#include "kernels/cpu/operations.h"

namespace tessera::cpu {

void GatedMlp(const GatedMlpArgs& args, Context& context) {
  context.Reset();
  const FeedForwardGroup group = {.weights = args.weights, .num_rows = args.input.dim(0)};
  RunFeedForward({.groups = {&group, 1},
                  .input = [&](int64_t row) { return static_cast<const float*>(args.input.row(row)); },
                  .num_rows = args.input.dim(0),
                  .output = args.output.data(),
                  .accumulate = args.accumulate},
                 context);
}

}  // namespace tessera::cpu
