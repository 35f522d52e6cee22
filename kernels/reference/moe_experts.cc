#include "kernels/reference/reference.h"

namespace tessera::reference {

void MoeExperts(const MoeExpertsArgs& args) {
  for (size_t e = 0; e < args.experts.size(); ++e) {
    for (int32_t p = args.expert_begin[e]; p < args.expert_begin[e + 1]; ++p) {
      GatedMlp({.input = args.input.Rows(args.pair_token[static_cast<size_t>(p)], 1),
                .weights = args.experts[e],
                .output = args.output.Rows(p, 1)});
    }
  }
}

}  // namespace tessera::reference
