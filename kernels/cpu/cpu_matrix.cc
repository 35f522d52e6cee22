#include "kernels/cpu/cpu_matrix.h"

#include <algorithm>

namespace tessera::cpu {
namespace {

CpuMatrix::Format ChooseFormat(const MatrixView& matrix, Precision precision) {
  if (precision == Precision::kF32) return CpuMatrix::Format::kF32;
  if (matrix.dtype != DType::kF8E4M3) return CpuMatrix::Format::kBF16;
  return matrix.block_cols % 2 == 0 ? CpuMatrix::Format::kF8E4M3 : CpuMatrix::Format::kBF16F32;
}

}  // namespace

CpuMatrix::CpuMatrix(const MatrixView& matrix, Precision precision, Context& context)
    : rows_(matrix.rows),
      cols_(matrix.cols),
      panel_width_(context.kernels.panel_width),
      format_(ChooseFormat(matrix, precision)) {
  context.Reset();
  panel_bytes_ = num_elements() * panel_width_ * (format_ == Format::kF8E4M3 ? 2 : 4);
  bytes_ = num_panels() * panel_bytes_;
  data_ = context.weights.Take(bytes_);
  if (format_ == Format::kF8E4M3) {
    scale_block_elements_ = matrix.block_cols / 2;
    const int64_t num_blocks = DivideRoundingUp(num_elements(), scale_block_elements_);
    const int64_t scale_bytes = num_panels() * num_blocks * panel_width_ * static_cast<int64_t>(sizeof(float));
    scales_ = context.weights.Take(scale_bytes);
    bytes_ += scale_bytes;
  }
  context.pool.ParallelFor(num_panels(), [&](int64_t index, int thread) {
    context.scratch_of(thread).Reset();
    PackPanel(matrix, index, context, thread);
  });
}

void CpuMatrix::PackPanel(const MatrixView& matrix, int64_t index, Context& context, int thread) {
  const Microkernels& kernels = context.kernels;
  const int64_t first = index * panel_width_;
  const MatrixView rows = matrix.Rows(first, std::min(panel_width_, rows_ - first));
  char* output = data_.get() + index * panel_bytes_;
  if (format_ == Format::kF8E4M3) {
    PackE4M3(rows, reinterpret_cast<uint8_t*>(output));
    PackScales(rows, index);
    return;
  }
  auto* elements = reinterpret_cast<uint32_t*>(output);
  const bool as_it_lies =
      format_ == Format::kBF16 ? rows.dtype == DType::kBF16 && cols_ % 2 == 0 : rows.dtype == DType::kF32;
  if (as_it_lies) {
    kernels.transpose(rows.data, num_elements() * 4, rows.rows, num_elements(), panel_width_, elements);
    return;
  }
  Arena& scratch = context.scratch_of(thread);
  auto* values = scratch.Take<float>(rows.rows * cols_);
  Dequantize(rows, values);
  if (!reads_bf16()) {
    kernels.transpose(values, cols_ * 4, rows.rows, cols_, panel_width_, elements);
    return;
  }
  const int64_t padded = num_elements() * 2;
  auto* halves = scratch.Take<uint16_t>(rows.rows * padded);
  for (int64_t r = 0; r < rows.rows; ++r) {
    halves[(r + 1) * padded - 1] = 0;
    kernels.to_bf16(values + r * cols_, cols_, halves + r * padded);
  }
  kernels.transpose(halves, padded * 2, rows.rows, num_elements(), panel_width_, elements);
}

void CpuMatrix::PackE4M3(const MatrixView& panel_rows, uint8_t* output) const {
  const auto* input = static_cast<const uint8_t*>(panel_rows.data);
  for (int64_t r = 0; r < panel_rows.rows; ++r) {
    for (int64_t k = 0; k < cols_; ++k) {
      output[(k / 2 * panel_width_ + r) * 2 + k % 2] = input[r * cols_ + k];
    }
  }
}

void CpuMatrix::PackScales(const MatrixView& panel_rows, int64_t index) {
  TESSERA_CHECK(panel_rows.scale != nullptr);
  const int64_t num_blocks = DivideRoundingUp(cols_, panel_rows.block_cols);
  auto* output = reinterpret_cast<float*>(scales_.get()) + index * num_blocks * panel_width_;
  for (int64_t r = 0; r < panel_rows.rows; ++r) {
    const float* scales = panel_rows.scale + (r + panel_rows.scale_row_offset) / panel_rows.block_rows * num_blocks;
    for (int64_t block = 0; block < num_blocks; ++block) output[block * panel_width_ + r] = scales[block];
  }
}

}  // namespace tessera::cpu
