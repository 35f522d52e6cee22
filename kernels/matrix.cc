#include "kernels/matrix.h"

#include "kernels/bfloat16.h"
#include "kernels/float16.h"
#include "kernels/fp8.h"

namespace tessera {
namespace {

void DequantizeE4M3(const MatrixView& matrix, float* output) {
  const auto* bytes = static_cast<const uint8_t*>(matrix.data);
  const int64_t scale_cols = (matrix.cols + matrix.block_cols - 1) / matrix.block_cols;
  for (int64_t i = 0; i < matrix.rows; ++i) {
    const float* scales = matrix.scale + (i + matrix.scale_row_offset) / matrix.block_rows * scale_cols;
    for (int64_t j = 0; j < matrix.cols; ++j) {
      output[i * matrix.cols + j] = kE4M3Values[bytes[i * matrix.cols + j]] * scales[j / matrix.block_cols];
    }
  }
}

}  // namespace

void Dequantize(const MatrixView& matrix, float* output) {
  const int64_t size = matrix.rows * matrix.cols;
  switch (matrix.dtype) {
    case DType::kF32:
      for (int64_t i = 0; i < size; ++i) output[i] = static_cast<const float*>(matrix.data)[i];
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < size; ++i) {
        output[i] = static_cast<float>(static_cast<const BFloat16*>(matrix.data)[i]);
      }
      return;
    case DType::kF16:
      for (int64_t i = 0; i < size; ++i) output[i] = DecodeFloat16(static_cast<const uint16_t*>(matrix.data)[i]);
      return;
    case DType::kF8E4M3:
      TESSERA_CHECK(matrix.scale != nullptr);
      DequantizeE4M3(matrix, output);
      return;
  }
  TESSERA_CHECK(false);
}

}  // namespace tessera
