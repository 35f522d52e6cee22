#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cpu/context.h"
#include "kernels/matrix.h"
#include "kernels/packed_matrix.h"

namespace tessera::cpu {

constexpr int64_t DivideRoundingUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// A weight [N, K] cut into panels of `panel_width` output features, each laid out in the order in which the microkernel
// reads it (microkernels.h), so that a product streams through memory once.
class CpuMatrix final : public PackedMatrix {
 public:
  enum class Format : uint8_t {
    kF32,      // F32 panels
    kBF16,     // BF16 panels
    kF8E4M3,   // BF16 panels as bytes, expanded into scratch memory block by block; one scale per block and feature
    kBF16F32,  // F32 panels for inputs rounded to BF16: FP8 whose scale blocks do not hold whole pairs of k
  };

  CpuMatrix(const MatrixView& matrix, Precision precision, Context& context);

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t bytes() const override { return bytes_; }

  Format format() const { return format_; }
  bool reads_bf16() const { return format_ == Format::kBF16 || format_ == Format::kF8E4M3; }
  int64_t num_panels() const { return DivideRoundingUp(rows_, panel_width_); }
  int64_t panel_width() const { return panel_width_; }
  // 32-bit elements of k: pairs of BF16, or F32.
  int64_t num_elements() const { return reads_bf16() ? DivideRoundingUp(cols_, 2) : cols_; }
  int64_t scale_block_elements() const { return scale_block_elements_; }

  const char* panel(int64_t index) const { return data_.get() + index * panel_bytes_; }
  // [panel_width]; the scales of one block of k.
  const float* scales(int64_t panel_index, int64_t block) const {
    const int64_t num_blocks = DivideRoundingUp(num_elements(), scale_block_elements_);
    return reinterpret_cast<const float*>(scales_.get()) + (panel_index * num_blocks + block) * panel_width_;
  }

  // The matrix that a CPU backend packed.
  static const CpuMatrix& From(const PackedMatrix* matrix) { return *static_cast<const CpuMatrix*>(matrix); }

 private:
  void PackPanel(const MatrixView& matrix, int64_t index, Context& context, int thread);
  void PackE4M3(const MatrixView& panel_rows, uint8_t* output) const;
  void PackScales(const MatrixView& panel_rows, int64_t index);

  int64_t rows_;
  int64_t cols_;
  int64_t panel_width_;
  Format format_;
  int64_t scale_block_elements_ = 0;
  int64_t panel_bytes_ = 0;
  int64_t bytes_ = 0;
  std::shared_ptr<char> data_;    // [panels][panel_bytes_]
  std::shared_ptr<char> scales_;  // kF8E4M3: [panels][blocks of k][panel_width_] floats
};

}  // namespace tessera::cpu
