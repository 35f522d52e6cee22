#pragma once

#include <cstdint>

#include "base/check.h"
#include "kernels/dtype.h"

namespace tessera {

// A weight as it lies in the checkpoint: [rows, cols] = [output features, input features], row-major; a linear layer is
// y = x · Wᵀ. With dtype F8E4M3, value[i, j] = E4M3[i, j] · scale[(i + scale_row_offset) / block_rows, j / block_cols].
struct MatrixView {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const float* scale = nullptr;  // [⌈(rows + scale_row_offset) / block_rows⌉, ⌈cols / block_cols⌉]; null unless F8E4M3
  int32_t block_rows = 128;
  int32_t block_cols = 128;
  int64_t scale_row_offset = 0;  // of row 0 within its scale block: cuts may fall inside a block

  // Rows begin … begin + count − 1 of this matrix; keeps the scales right wherever the cut falls.
  MatrixView Rows(int64_t begin, int64_t count) const {
    TESSERA_CHECK(begin >= 0 && count >= 0 && begin + count <= rows);
    MatrixView cut = *this;
    cut.data = static_cast<const char*>(data) + begin * cols * SizeOf(dtype);
    cut.rows = count;
    if (scale != nullptr) {
      const int64_t scale_cols = (cols + block_cols - 1) / block_cols;
      const int64_t first = scale_row_offset + begin;
      cut.scale = scale + first / block_rows * scale_cols;
      cut.scale_row_offset = first % block_rows;
    }
    return cut;
  }
};

// Writes the values of `matrix` to `output` [rows, cols].
void Dequantize(const MatrixView& matrix, float* output);

}  // namespace tessera
