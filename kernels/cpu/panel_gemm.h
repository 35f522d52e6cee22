#pragma once

// What all operations with a weight share: left-hand operands in the form that a packed weight wants, and the product
// of some rows with one panel of it.

#include <cstdint>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu_matrix.h"

namespace tessera::cpu {

// Rows of a left-hand operand: F32, or BF16 padded to an even number of values.
struct LeftOperand {
  const void* data = nullptr;
  int64_t stride_bytes = 0;

  const void* Row(int64_t i) const { return static_cast<const char*>(data) + i * stride_bytes; }
};

// Rows of floats, `stride` values apart.
struct FloatRows {
  const float* data = nullptr;
  int64_t stride = 0;
  int64_t num_rows = 0;
};

// Room for `num_rows` rows of `weight.cols()` values in the form that `weight` reads.
LeftOperand ReserveLeftOperand(const CpuMatrix& weight, int64_t num_rows, Arena& arena);
// Writes `count` floats as the values from `first` on of row i of a reserved operand. `first` is even.
void WriteColumns(const CpuMatrix& weight, const Microkernels& kernels, const float* input, int64_t first,
                  int64_t count, LeftOperand operand, int64_t i);
// The rows in the form that `weight` reads; the floats themselves where possible, else copies in the workspace.
LeftOperand PrepareLeftOperand(const CpuMatrix& weight, const FloatRows& input, Context& context);

// Where the products of one panel go.
struct PanelOutput {
  float* data = nullptr;  // column 0 of the panel in the first row
  int64_t stride = 0;
  int64_t num_columns = 0;  // ≤ panel width
  bool accumulate = false;
};

// output[m, n] (+)= Σ_k left[m, k] · weight[panel · width + n, k] for `num_rows` rows. The sum over k has the same
// order for every number of rows.
void MultiplyPanel(const Microkernels& kernels, const CpuMatrix& weight, int64_t panel, LeftOperand left,
                   int64_t num_rows, const PanelOutput& output, Arena& scratch);

// Rows that one item of a parallel loop takes: enough to reuse a panel, few enough to keep all threads busy.
inline constexpr int64_t kRowBlock = 96;

}  // namespace tessera::cpu
