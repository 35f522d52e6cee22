// AbsorbQuery and ExpandOutput: one small product per head.

#include <algorithm>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/panel_gemm.h"

namespace tessera::cpu {
namespace {

// Input and output of all heads, [tokens][heads][…]; each head's part of a token is multiplied by its own matrix.
struct HeadProducts {
  std::span<const PackedMatrix* const> weights;  // [heads], all of one shape and format
  const float* input = nullptr;
  int64_t input_head_stride = 0;
  float* output = nullptr;
  int64_t output_head_stride = 0;
  int64_t num_tokens = 0;
};

void MultiplyHeads(const HeadProducts& p, Context& context) {
  const auto num_heads = static_cast<int64_t>(p.weights.size());
  const CpuMatrix& first = CpuMatrix::From(p.weights[0]);
  const LeftOperand left = PrepareLeftOperand(first, {p.input, p.input_head_stride, p.num_tokens * num_heads}, context);
  const int64_t num_panels = first.num_panels();
  context.pool.ParallelFor(num_heads * num_panels, [&](int64_t item, int thread) {
    const int64_t head = item / num_panels;
    const int64_t first_column = item % num_panels * first.panel_width();
    Arena& scratch = context.scratch_of(thread);
    scratch.Reset();
    MultiplyPanel(context.kernels, CpuMatrix::From(p.weights[static_cast<size_t>(head)]), item % num_panels,
                  {left.Row(head), left.stride_bytes * num_heads}, p.num_tokens,
                  {.data = p.output + head * p.output_head_stride + first_column,
                   .stride = p.output_head_stride * num_heads,
                   .num_columns = std::min(first.panel_width(), first.rows() - first_column)},
                  scratch);
  });
}

}  // namespace

void AbsorbQuery(const AbsorbQueryArgs& args, Context& context) {
  const int64_t num_heads = args.query.dim(1);
  if (args.query.dim(0) == 0 || num_heads == 0) return;
  context.Reset();
  MultiplyHeads({.weights = args.w_uk,
                 .input = args.query.data(),
                 .input_head_stride = args.query.dim(2),
                 .output = args.absorbed.data(),
                 .output_head_stride = args.absorbed.dim(2),
                 .num_tokens = args.query.dim(0)},
                context);
  const int64_t nope = args.w_uk[0]->cols();
  const int64_t kv_lora_rank = args.w_uk[0]->rows();
  for (int64_t i = 0; i < args.query.dim(0) * num_heads; ++i) {
    const float* query = args.query.data() + i * args.query.dim(2);
    std::copy(query + nope, query + args.query.dim(2), args.absorbed.data() + i * args.absorbed.dim(2) + kv_lora_rank);
  }
}

void ExpandOutput(const ExpandOutputArgs& args, Context& context) {
  if (args.latent_output.dim(0) == 0 || args.latent_output.dim(1) == 0) return;
  context.Reset();
  MultiplyHeads({.weights = args.w_uv,
                 .input = args.latent_output.data(),
                 .input_head_stride = args.latent_output.dim(2),
                 .output = args.output.data(),
                 .output_head_stride = args.output.dim(2),
                 .num_tokens = args.output.dim(0)},
                context);
}

}  // namespace tessera::cpu
