#include "kernels/cpu/feed_forward.h"
#include "kernels/cpu/operations.h"

namespace tessera::cpu {

void MoeExperts(const MoeExpertsArgs& args, Context& context) {
  context.Reset();
  auto* groups = context.workspace.Take<FeedForwardGroup>(static_cast<int64_t>(args.experts.size()));
  size_t num_groups = 0;
  for (size_t e = 0; e < args.experts.size(); ++e) {
    const int32_t begin = args.expert_begin[e];
    const int32_t count = args.expert_begin[e + 1] - begin;
    if (count > 0) groups[num_groups++] = {.weights = args.experts[e], .first_row = begin, .num_rows = count};
  }
  RunFeedForward({.groups = {groups, num_groups},
                  .input = [&](int64_t pair) { return args.input.row(args.pair_token[static_cast<size_t>(pair)]); },
                  .num_rows = args.output.dim(0),
                  .output = args.output.data()},
                 context);
}

}  // namespace tessera::cpu
