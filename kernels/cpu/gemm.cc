#include <algorithm>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/panel_gemm.h"

namespace tessera::cpu {

void Gemm(const GemmArgs& args, Context& context) {
  const CpuMatrix& weight = CpuMatrix::From(args.weight);
  const int64_t num_rows = args.input.dim(0);
  if (num_rows == 0) return;
  context.Reset();
  const LeftOperand left = PrepareLeftOperand(weight, {args.input.data(), weight.cols(), num_rows}, context);
  const int64_t num_blocks = DivideRoundingUp(num_rows, kRowBlock);
  context.pool.ParallelFor(weight.num_panels() * num_blocks, [&](int64_t item, int thread) {
    const int64_t panel = item / num_blocks;
    const int64_t first_row = item % num_blocks * kRowBlock;
    const int64_t first_column = panel * weight.panel_width();
    Arena& scratch = context.scratch_of(thread);
    scratch.Reset();
    MultiplyPanel(context.kernels, weight, panel, {left.Row(first_row), left.stride_bytes},
                  std::min(kRowBlock, num_rows - first_row),
                  {.data = args.output.row(first_row) + first_column,
                   .stride = weight.rows(),
                   .num_columns = std::min(weight.panel_width(), weight.rows() - first_column),
                   .accumulate = args.accumulate},
                  scratch);
  });
}

}  // namespace tessera::cpu
