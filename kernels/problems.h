#pragma once

// For tests and benchmarks: inputs that own their memory, from a seed, and a comparison that shows what differs.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "kernels/backend.h"
#include "kernels/bfloat16.h"

namespace tessera {

// Numbers that look random and are the same in every run.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}

  uint64_t Next() {  // splitmix64
    uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  float Uniform(float low, float high) { return low + (high - low) * static_cast<float>(Next() >> 40) * 0x1p-24F; }
  std::vector<float> Vector(int64_t count, float low = -1, float high = 1) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = Uniform(low, high);
    return values;
  }

 private:
  uint64_t state_;
};

// A weight as a checkpoint would hold it.
class OwnedMatrix {
 public:
  // Values about −1 … 1. `block_*` and `scale_row_offset` are for kF8E4M3 only.
  static OwnedMatrix Random(Numbers& numbers, DType dtype, int64_t rows, int64_t cols, int32_t block_rows = 128,
                            int32_t block_cols = 128, int64_t scale_row_offset = 0);

  const MatrixView& view() const { return view_; }
  uint8_t* bytes() { return bytes_.data(); }

 private:
  std::vector<uint8_t> bytes_;
  std::vector<float> scales_;
  MatrixView view_;
};

// A latent cache with random rows, and the block tables of some sequences spread over it.
class OwnedCache {
 public:
  OwnedCache(Numbers& numbers, DType dtype, int64_t num_blocks, int64_t kv_lora_rank, int64_t qk_rope_head_dim);

  const LatentCacheView& view() const { return view_; }
  // The blocks for `num_tokens` more tokens, in no order.
  std::vector<int32_t> TakeBlocks(int64_t num_tokens);
  void Set(int64_t slot, int64_t column, float value);

 private:
  std::vector<uint8_t> bytes_;
  LatentCacheView view_;
  int32_t next_block_ = 0;
};

// Each value is within relative · (largest expected magnitude) of the expected one; NaN exactly where expected.
MATCHER_P2(IsCloseTo, expected, relative, "") {
  float largest = 0;
  for (const float value : expected) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  if (arg.size() != expected.size()) return false;
  for (size_t i = 0; i < expected.size(); ++i) {
    const bool same_kind = std::isnan(arg[i]) == std::isnan(expected[i]);
    if (same_kind && (std::isnan(arg[i]) || std::abs(arg[i] - expected[i]) <= relative * largest + 1e-30)) continue;
    *result_listener << "value " << i << " of " << expected.size() << ": got " << arg[i] << ", wanted " << expected[i]
                     << " (largest " << largest << ")";
    return false;
  }
  return true;
}

// The same bits.
MATCHER_P(IsBitEqualTo, expected, "") {
  if (arg.size() != expected.size()) return false;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::memcmp(&arg[i], &expected[i], sizeof(arg[i])) == 0) continue;
    *result_listener << "value " << i << ": got " << arg[i] << ", wanted " << expected[i];
    return false;
  }
  return true;
}

// Packs, or fails the program.
std::unique_ptr<PackedMatrix> PackOrDie(Backend& backend, const MatrixView& matrix, Precision precision);

// input · weightᵀ on a backend; [num_rows, weight.rows].
std::vector<float> RunGemm(Backend& backend, const PackedMatrix& weight, const std::vector<float>& input);

}  // namespace tessera
