#include "kernels/cpu/panel_gemm.h"

#include <algorithm>

namespace tessera::cpu {
namespace {

// Elements of k that many rows go through before the next: a piece of the panel (64 · 64 · 4 bytes) stays in the L1
// cache meanwhile. It does not change the order of the sum.
constexpr int64_t kElementsInL1 = 64;
constexpr int64_t kFewRows = 6;

void MultiplyE4M3(const Microkernels& kernels, const CpuMatrix& weight, int64_t panel, PanelProduct product,
                  Arena& scratch) {
  const int64_t width = weight.panel_width();
  const int64_t block_elements = weight.scale_block_elements();
  const Arena::Mark mark = scratch.Now();
  auto* expanded = scratch.Take<uint16_t>(block_elements * width * 2);
  const auto* bytes = reinterpret_cast<const uint8_t*>(weight.panel(panel));
  const auto* left = static_cast<const char*>(product.left);
  product.panel = expanded;
  for (int64_t k = 0, block = 0; k < weight.num_elements(); k += block_elements, ++block) {
    product.num_elements = std::min(block_elements, weight.num_elements() - k);
    kernels.e4m3_to_bf16(bytes + k * width * 2, product.num_elements * width * 2, expanded);
    product.left = left + k * 4;
    product.scale = weight.scales(panel, block);
    kernels.multiply_bf16(product);
    product.accumulate = true;
  }
  scratch.Release(mark);
}

}  // namespace

LeftOperand ReserveLeftOperand(const CpuMatrix& weight, int64_t num_rows, Arena& arena) {
  const int64_t elements = weight.num_elements();
  return {.data = arena.Take<uint32_t>(num_rows * elements), .stride_bytes = elements * 4};
}

void WriteColumns(const CpuMatrix& weight, const Microkernels& kernels, const float* input, int64_t first,
                  int64_t count, LeftOperand operand, int64_t i) {
  void* row = const_cast<void*>(operand.Row(i));  // reserved by us, so writable
  if (weight.reads_bf16()) {
    auto* halves = static_cast<uint16_t*>(row);
    if (first + count == weight.cols() && weight.cols() % 2 != 0) halves[weight.cols()] = 0;
    kernels.to_bf16(input, count, halves + first);
    return;
  }
  auto* values = static_cast<float*>(row) + first;
  if (weight.format() == CpuMatrix::Format::kF32) {
    std::copy_n(input, count, values);
    return;
  }
  std::fill_n(values, count, 0.0F);
  kernels.add_scaled_bf16(input, 1.0F, count, values);
}

LeftOperand PrepareLeftOperand(const CpuMatrix& weight, const FloatRows& input, Context& context) {
  if (weight.format() == CpuMatrix::Format::kF32) {
    return {.data = input.data, .stride_bytes = input.stride * static_cast<int64_t>(sizeof(float))};
  }
  const LeftOperand operand = ReserveLeftOperand(weight, input.num_rows, context.workspace);
  constexpr int64_t kRowsAtOnce = 16;
  context.pool.ParallelFor(DivideRoundingUp(input.num_rows, kRowsAtOnce), [&](int64_t item, int) {
    const int64_t end = std::min((item + 1) * kRowsAtOnce, input.num_rows);
    for (int64_t i = item * kRowsAtOnce; i < end; ++i) {
      WriteColumns(weight, context.kernels, input.data + i * input.stride, 0, weight.cols(), operand, i);
    }
  });
  return operand;
}

void MultiplyPanel(const Microkernels& kernels, const CpuMatrix& weight, int64_t panel, LeftOperand left,
                   int64_t num_rows, const PanelOutput& output, Arena& scratch) {
  PanelProduct product = {.left = left.data,
                          .left_stride_bytes = left.stride_bytes,
                          .output = output.data,
                          .output_stride = output.stride,
                          .num_rows = num_rows,
                          .num_columns = output.num_columns,
                          .accumulate = output.accumulate};
  if (weight.format() == CpuMatrix::Format::kF8E4M3) return MultiplyE4M3(kernels, weight, panel, product, scratch);
  const auto multiply = weight.reads_bf16() ? kernels.multiply_bf16 : kernels.multiply_f32;
  const int64_t total = weight.num_elements();
  const int64_t step = num_rows <= kFewRows ? total : kElementsInL1;
  for (int64_t k = 0; k < total; k += step) {
    product.left = static_cast<const char*>(left.data) + k * 4;
    product.panel = weight.panel(panel) + k * weight.panel_width() * 4;
    product.num_elements = std::min(step, total - k);
    multiply(product);
    product.accumulate = true;
  }
}

}  // namespace tessera::cpu
