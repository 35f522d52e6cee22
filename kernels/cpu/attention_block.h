#pragma once

// What prefill and decode share: attention of some rows to one block of cached tokens, with a running softmax.

#include <cstdint>

#include "kernels/cpu/context.h"
#include "kernels/cpu/panel_gemm.h"
#include "kernels/latent_cache.h"

namespace tessera::cpu {

// Rows of 32-bit elements: pairs of BF16, or F32.
struct ElementRows {
  const void* data = nullptr;
  int64_t stride_bytes = 0;

  const void* Row(int64_t i) const { return static_cast<const char*>(data) + i * stride_bytes; }
};

// Keys and values of up to kBlockTokens tokens as panels (microkernels.h). Reused from block to block.
class AttentionBlock {
 public:
  // Takes its memory from `arena`.
  AttentionBlock(const Microkernels& kernels, bool bf16, int64_t key_size, int64_t value_size, Arena& arena);

  // `keys`: one row a token, [key_size], padded to whole elements. Tokens past num_tokens count as zero.
  void PackKeys(const ElementRows& keys, int64_t num_tokens);
  // `values`: one row a token, [value_size].
  void PackValues(const ElementRows& values, int64_t num_tokens);

  // Rows that attend to the block; row r sees its first min(first_visible + r · visible_step, kBlockTokens) tokens.
  struct Rows {
    LeftOperand queries;
    int64_t num_rows = 0;
    int64_t first_visible = kBlockTokens;
    int64_t visible_step = 0;
    RunningSoftmax* states = nullptr;  // [num_rows]
    float* output = nullptr;           // [num_rows][value_size], output_stride apart: Σ of probability · value so far
    int64_t output_stride = 0;
    bool is_first_block = false;  // states and output hold nothing yet
  };
  // A row's result does not depend on which rows come with it.
  void Attend(const Rows& rows, float scale);

 private:
  void AttendSome(const Rows& rows, float scale);
  void Multiply(const PanelProduct& product) const {
    (bf16_ ? kernels_.multiply_bf16 : kernels_.multiply_f32)(product);
  }

  const Microkernels& kernels_;
  bool bf16_;
  int64_t value_size_;
  int64_t key_elements_;
  int64_t num_tokens_ = 0;
  uint32_t* keys_;           // [kBlockTokens / width][key_elements_][width]
  uint32_t* values_;         // [⌈value_size / width⌉][token elements][width]
  float* scores_;            // [kRowsAtOnce][kBlockTokens]
  uint32_t* probabilities_;  // [kRowsAtOnce][kBlockTokens], BF16 or F32
  uint16_t* zeros_;          // [value_size]: the second token of a last pair
};

// Divides by the softmax's sum.
void FinishRow(const Microkernels& kernels, const RunningSoftmax& state, int64_t value_size, float* output);

}  // namespace tessera::cpu
