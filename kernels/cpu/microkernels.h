#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace tessera::cpu {

// How many values of k share one 32-bit element of an operand: one F32 or two BF16.
//
// A panel holds `panel_width` columns n of the right-hand operand, element by element of k:
//   F32 panel:  [K][panel_width]            BF16 panel:  [⌈K / 2⌉][panel_width][2]
// The left-hand operand is row-major, [M][K] F32 or [M][K] BF16 with K padded to even by zero.

// One product of some rows with one panel: output[m, n] = Σ_k left[m, k] · panel[k, n] (+ output[m, n] before).
// Each output value is one chain of additions over k, from the first to the last, started from the old output with
// `accumulate`: however rows and k are cut into calls, the sum comes out the same.
struct PanelProduct {
  const void* left = nullptr;
  int64_t left_stride_bytes = 0;
  const void* panel = nullptr;
  int64_t num_elements = 0;      // of 32 bits along k
  const float* scale = nullptr;  // [panel_width] or null: the sum is scaled, then added to the old output
  float* output = nullptr;
  int64_t output_stride = 0;  // in values
  int64_t num_rows = 0;
  int64_t num_columns = 0;  // 1 … panel_width; columns past it are not written
  bool accumulate = false;
};

// The state of a running softmax of one row.
struct RunningSoftmax {
  float max = 0;  // −∞ before the first block
  float sum = 0;
};

// The innermost loops, one set per instruction set, on plain pointers. All have fixed orders of summation.
struct Microkernels {
  Isa isa = Isa::kScalar;
  int64_t panel_width = 0;  // divides 64

  void (*multiply_f32)(const PanelProduct& product);
  void (*multiply_bf16)(const PanelProduct& product);

  void (*to_bf16)(const float* input, int64_t count, uint16_t* output);
  void (*from_bf16)(const uint16_t* input, int64_t count, float* output);
  void (*e4m3_to_bf16)(const uint8_t* input, int64_t count, uint16_t* output);
  // output[c · width + r] = input[r][c] for r < num_rows, 0 for the other r < width. Elements are 32 bits.
  void (*transpose)(const void* input, int64_t stride_bytes, int64_t num_rows, int64_t num_columns, int64_t width,
                    uint32_t* output);
  // output[2i] = even[i], output[2i + 1] = odd[i]
  void (*interleave_bf16)(const uint16_t* even, const uint16_t* odd, int64_t count, uint16_t* output);

  void (*rms_norm)(const float* input, const float* weight, float epsilon, int64_t count, float* output);
  void (*silu_multiply)(const float* gate, const float* up, int64_t count, float* output);
  void (*sigmoid)(const float* input, int64_t count, float* output);
  void (*softmax)(const float* input, int64_t count, float* output);
  void (*scale)(float factor, int64_t count, float* values);
  void (*add_scaled)(const float* input, float factor, int64_t count, float* output);       // output += factor · input
  void (*add_scaled_bf16)(const float* input, float factor, int64_t count, float* output);  // … · BF16(input)
  float (*exponential)(float value);

  // One block of a running softmax: output[i] = exp(factor · scores[i] − max) for i < num_visible, 0 up to `count`.
  // Returns by how much the sums of the blocks before have to be scaled. The two forms differ in the output's type.
  float (*softmax_block_f32)(const float* scores, int64_t num_visible, int64_t count, float factor,
                             RunningSoftmax& state, float* output);
  float (*softmax_block_bf16)(const float* scores, int64_t num_visible, int64_t count, float factor,
                              RunningSoftmax& state, uint16_t* output);
};

const Microkernels& ScalarMicrokernels();
const Microkernels& Avx2Microkernels();
const Microkernels& Avx512Microkernels();
const Microkernels& Avx512Bf16Microkernels();

// Requires: isa ≤ DetectIsa().
const Microkernels& MicrokernelsFor(Isa isa);

}  // namespace tessera::cpu
