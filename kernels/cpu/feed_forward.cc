#include "kernels/cpu/feed_forward.h"

#include <algorithm>

namespace tessera::cpu {
namespace {

// One piece of work: a block of rows of one group times one panel.
struct Item {
  int64_t group;
  int64_t panel;
  int64_t first_row;
  int64_t num_rows;
};

// Items in an order that lets neighbours share a panel; big groups are cut so that threads can balance.
std::span<const Item> MakeItems(const FeedForward& batch, const PackedMatrix* GatedMlpWeights::*matrix,
                                Context& context) {
  int64_t count = 0;
  for (const FeedForwardGroup& group : batch.groups) {
    count += CpuMatrix::From(group.weights.*matrix).num_panels() * DivideRoundingUp(group.num_rows, kRowBlock);
  }
  auto* items = context.workspace.Take<Item>(count);
  int64_t next = 0;
  for (size_t g = 0; g < batch.groups.size(); ++g) {
    const FeedForwardGroup& group = batch.groups[g];
    for (int64_t panel = 0; panel < CpuMatrix::From(group.weights.*matrix).num_panels(); ++panel) {
      for (int64_t row = 0; row < group.num_rows; row += kRowBlock) {
        items[next++] = {static_cast<int64_t>(g), panel, group.first_row + row,
                         std::min(kRowBlock, group.num_rows - row)};
      }
    }
  }
  return {items, static_cast<size_t>(count)};
}

// silu(gate · input) ⊙ (up · input) for one item, written into the left-hand operand of `down`.
void Activate(const GatedMlpWeights& weights, const Item& item, LeftOperand input, LeftOperand activation,
              Context& context, Arena& scratch) {
  const CpuMatrix& gate = CpuMatrix::From(weights.gate);
  const CpuMatrix& up = CpuMatrix::From(weights.up);
  const CpuMatrix& down = CpuMatrix::From(weights.down);
  const int64_t width = gate.panel_width();
  const int64_t first = item.panel * width;
  const int64_t count = std::min(width, gate.rows() - first);
  const LeftOperand rows = {input.Row(item.first_row), input.stride_bytes};
  auto* gated = scratch.Take<float>(item.num_rows * width);
  auto* upped = scratch.Take<float>(item.num_rows * width);
  MultiplyPanel(context.kernels, gate, item.panel, rows, item.num_rows, {gated, width, width}, scratch);
  MultiplyPanel(context.kernels, up, item.panel, rows, item.num_rows, {upped, width, width}, scratch);
  for (int64_t r = 0; r < item.num_rows; ++r) {
    float* values = gated + r * width;
    context.kernels.silu_multiply(values, upped + r * width, count, values);
    WriteColumns(down, context.kernels, values, first, count, activation, item.first_row + r);
  }
}

}  // namespace

void RunFeedForward(const FeedForward& batch, Context& context) {
  if (batch.num_rows == 0) return;
  const GatedMlpWeights& any = batch.groups.front().weights;
  const CpuMatrix& gate = CpuMatrix::From(any.gate);
  const LeftOperand input = ReserveLeftOperand(gate, batch.num_rows, context.workspace);
  const LeftOperand activation = ReserveLeftOperand(CpuMatrix::From(any.down), batch.num_rows, context.workspace);
  constexpr int64_t kRowsAtOnce = 16;
  context.pool.ParallelFor(DivideRoundingUp(batch.num_rows, kRowsAtOnce), [&](int64_t item, int) {
    const int64_t end = std::min((item + 1) * kRowsAtOnce, batch.num_rows);
    for (int64_t i = item * kRowsAtOnce; i < end; ++i) {
      WriteColumns(gate, context.kernels, batch.input(i), 0, gate.cols(), input, i);
    }
  });

  const std::span<const Item> ups = MakeItems(batch, &GatedMlpWeights::gate, context);
  context.pool.ParallelFor(static_cast<int64_t>(ups.size()), [&](int64_t i, int thread) {
    const Item& item = ups[static_cast<size_t>(i)];
    Arena& scratch = context.scratch_of(thread);
    scratch.Reset();
    Activate(batch.groups[static_cast<size_t>(item.group)].weights, item, input, activation, context, scratch);
  });

  const std::span<const Item> downs = MakeItems(batch, &GatedMlpWeights::down, context);
  context.pool.ParallelFor(static_cast<int64_t>(downs.size()), [&](int64_t i, int thread) {
    const Item& item = downs[static_cast<size_t>(i)];
    const CpuMatrix& down = CpuMatrix::From(batch.groups[static_cast<size_t>(item.group)].weights.down);
    const int64_t first = item.panel * down.panel_width();
    Arena& scratch = context.scratch_of(thread);
    scratch.Reset();
    MultiplyPanel(context.kernels, down, item.panel, {activation.Row(item.first_row), activation.stride_bytes},
                  item.num_rows,
                  {.data = batch.output + item.first_row * down.rows() + first,
                   .stride = down.rows(),
                   .num_columns = std::min(down.panel_width(), down.rows() - first),
                   .accumulate = batch.accumulate},
                  scratch);
  });
}

}  // namespace tessera::cpu
