#pragma once

#include <cstdint>
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/matrix.h"
#include "kernels/packed_matrix.h"

namespace tessera::reference {

// A value as an operand of a product in the given precision.
inline float Operand(float value, Precision precision) {
  return precision == Precision::kBF16 ? RoundToBFloat16(value) : value;
}

// A weight as plain floats. In kBF16 they are rounded to BF16, except FP8 weights, which are exact products with their
// scales.
class ReferenceMatrix final : public PackedMatrix {
 public:
  ReferenceMatrix(const MatrixView& matrix, Precision precision);

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t bytes() const override { return static_cast<int64_t>(values_.size() * sizeof(float)); }
  Precision precision() const { return precision_; }
  const float* row(int64_t i) const { return values_.data() + i * cols_; }

  // Σ_k row(i)[k] · input[k], left to right.
  float Dot(int64_t i, const float* input) const;

  // The matrix that this backend packed.
  static const ReferenceMatrix& From(const PackedMatrix* matrix) {
    return *static_cast<const ReferenceMatrix*>(matrix);
  }

 private:
  Precision precision_;
  int64_t rows_;
  int64_t cols_;
  std::vector<float> values_;  // [rows, cols]
};

}  // namespace tessera::reference
