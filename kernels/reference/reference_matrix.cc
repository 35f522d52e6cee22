#include "kernels/reference/reference_matrix.h"

namespace tessera::reference {

ReferenceMatrix::ReferenceMatrix(const MatrixView& matrix, Precision precision)
    : precision_(precision),
      rows_(matrix.rows),
      cols_(matrix.cols),
      values_(static_cast<size_t>(matrix.rows * matrix.cols)) {
  Dequantize(matrix, values_.data());
  if (matrix.dtype == DType::kF8E4M3) return;
  for (float& value : values_) value = Operand(value, precision);
}

float ReferenceMatrix::Dot(int64_t i, const float* input) const {
  const float* weights = row(i);
  float sum = 0;
  for (int64_t k = 0; k < cols_; ++k) sum += weights[k] * Operand(input[k], precision_);
  return sum;
}

}  // namespace tessera::reference
