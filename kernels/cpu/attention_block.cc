#include "kernels/cpu/attention_block.h"

#include <algorithm>
#include <limits>

namespace tessera::cpu {
namespace {

constexpr int64_t kRowsAtOnce = 48;  // scores and probabilities of so many rows stay in the L1 cache

}  // namespace

AttentionBlock::AttentionBlock(const Microkernels& kernels, bool bf16, int64_t key_size, int64_t value_size,
                               Arena& arena)
    : kernels_(kernels),
      bf16_(bf16),
      value_size_(value_size),
      key_elements_(bf16 ? DivideRoundingUp(key_size, 2) : key_size),
      keys_(arena.Take<uint32_t>(key_elements_ * kBlockTokens)),
      values_(
          arena.Take<uint32_t>(DivideRoundingUp(value_size, kernels.panel_width) * kernels.panel_width * kBlockTokens)),
      scores_(arena.Take<float>(kRowsAtOnce * kBlockTokens)),
      probabilities_(arena.Take<uint32_t>(kRowsAtOnce * kBlockTokens)),
      zeros_(arena.Take<uint16_t>(value_size)) {
  std::fill_n(zeros_, value_size, uint16_t{0});
}

void AttentionBlock::PackKeys(const ElementRows& keys, int64_t num_tokens) {
  const int64_t width = kernels_.panel_width;
  num_tokens_ = num_tokens;
  for (int64_t first = 0; first < num_tokens; first += width) {
    kernels_.transpose(keys.Row(first), keys.stride_bytes, std::min(width, num_tokens - first), key_elements_, width,
                       keys_ + first * key_elements_);
  }
}

// Goes through the tokens in the order of memory: values may come from the cache itself.
void AttentionBlock::PackValues(const ElementRows& values, int64_t num_tokens) {
  const int64_t width = kernels_.panel_width;
  const int64_t token_elements = bf16_ ? DivideRoundingUp(num_tokens, 2) : num_tokens;
  for (int64_t i = 0; i < token_elements; ++i) {
    const auto* even = static_cast<const uint16_t*>(values.Row(2 * i));
    const auto* odd = 2 * i + 1 < num_tokens ? static_cast<const uint16_t*>(values.Row(2 * i + 1)) : zeros_;
    for (int64_t first = 0; first < value_size_; first += width) {
      const int64_t count = std::min(width, value_size_ - first);
      uint32_t* elements = values_ + first * kBlockTokens + i * width;
      if (bf16_) {
        kernels_.interleave_bf16(even + first, odd + first, count, reinterpret_cast<uint16_t*>(elements));
      } else {
        std::copy_n(static_cast<const float*>(values.Row(i)) + first, count, reinterpret_cast<float*>(elements));
      }
    }
  }
}

void AttentionBlock::Attend(const Rows& rows, float scale) {
  for (int64_t begin = 0; begin < rows.num_rows; begin += kRowsAtOnce) {
    Rows some = rows;
    some.queries.data = rows.queries.Row(begin);
    some.num_rows = std::min(kRowsAtOnce, rows.num_rows - begin);
    some.first_visible += begin * rows.visible_step;
    some.states += begin;
    some.output += begin * rows.output_stride;
    AttendSome(some, scale);
  }
}

void AttentionBlock::AttendSome(const Rows& rows, float scale) {
  const int64_t width = kernels_.panel_width;
  for (int64_t first = 0; first < num_tokens_; first += width) {
    Multiply({.left = rows.queries.data,
              .left_stride_bytes = rows.queries.stride_bytes,
              .panel = keys_ + first * key_elements_,
              .num_elements = key_elements_,
              .output = scores_ + first,
              .output_stride = kBlockTokens,
              .num_rows = rows.num_rows,
              .num_columns = width});
  }
  auto* halves = reinterpret_cast<uint16_t*>(probabilities_);
  auto* floats = reinterpret_cast<float*>(probabilities_);
  for (int64_t r = 0; r < rows.num_rows; ++r) {
    const int64_t visible = std::min(rows.first_visible + r * rows.visible_step, num_tokens_);
    RunningSoftmax& state = rows.states[r];
    if (rows.is_first_block) state = {-std::numeric_limits<float>::infinity(), 0};
    const float* scores = scores_ + r * kBlockTokens;
    const float correction =
        bf16_ ? kernels_.softmax_block_bf16(scores, visible, kBlockTokens, scale, state, halves + r * kBlockTokens)
              : kernels_.softmax_block_f32(scores, visible, kBlockTokens, scale, state, floats + r * kBlockTokens);
    if (!rows.is_first_block && correction != 1.0F) {
      kernels_.scale(correction, value_size_, rows.output + r * rows.output_stride);
    }
  }
  for (int64_t first = 0; first < value_size_; first += width) {
    Multiply({.left = probabilities_,
              .left_stride_bytes = kBlockTokens * (bf16_ ? 2 : 4),
              .panel = values_ + first * kBlockTokens,
              .num_elements = bf16_ ? DivideRoundingUp(num_tokens_, 2) : num_tokens_,
              .output = rows.output + first,
              .output_stride = rows.output_stride,
              .num_rows = rows.num_rows,
              .num_columns = std::min(width, value_size_ - first),
              .accumulate = !rows.is_first_block});
  }
}

void FinishRow(const Microkernels& kernels, const RunningSoftmax& state, int64_t value_size, float* output) {
  kernels.scale(1.0F / state.sum, value_size, output);
}

}  // namespace tessera::cpu
