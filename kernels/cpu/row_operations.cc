// The operations that take each row by itself and have no weight matrix.

#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_matrix.h"
#include "kernels/cpu/operations.h"

namespace tessera::cpu {
namespace {

// Calls function(row) for each row, several rows an item: one row is too little work to hand to a thread.
template <typename Function>
void ForEachRow(int64_t num_rows, Context& context, const Function& function) {
  constexpr int64_t kRowsAtOnce = 8;
  context.pool.ParallelFor(DivideRoundingUp(num_rows, kRowsAtOnce), [&](int64_t item, int thread) {
    const int64_t end = std::min((item + 1) * kRowsAtOnce, num_rows);
    for (int64_t row = item * kRowsAtOnce; row < end; ++row) function(row, thread);
  });
}

// cos and sin of a position's angles, with the model's factor; [pairs] each.
void FillRotation(const RopeFrequencies& frequencies, int32_t position, float* cosines, float* sines) {
  for (size_t i = 0; i < frequencies.inverse_frequency.size(); ++i) {
    const float angle = static_cast<float>(position) * frequencies.inverse_frequency[i];
    cosines[i] = std::cos(angle) * frequencies.cos_sin_factor;
    sines[i] = std::sin(angle) * frequencies.cos_sin_factor;
  }
}

void Rotate(const float* cosines, const float* sines, int64_t num_pairs, bool interleaved, float* values) {
  const int64_t step = interleaved ? 2 : 1;
  const int64_t distance = interleaved ? 1 : num_pairs;
  for (int64_t i = 0; i < num_pairs; ++i) {
    const float a = values[i * step];
    const float b = values[i * step + distance];
    values[i * step] = a * cosines[i] - b * sines[i];
    values[i * step + distance] = a * sines[i] + b * cosines[i];
  }
}

}  // namespace

void Embedding(const EmbeddingArgs& args, Context& context) {
  ForEachRow(args.tokens.dim(0), context,
             [&](int64_t t, int) { Dequantize(args.table.Rows(*args.tokens.row(t), 1), args.output.row(t)); });
}

void RmsNorm(const RmsNormArgs& args, Context& context) {
  ForEachRow(args.input.dim(0), context, [&](int64_t t, int) {
    context.kernels.rms_norm(args.input.row(t), args.weight.data(), args.epsilon, args.input.dim(1),
                             args.output.row(t));
  });
}

void Rope(const RopeArgs& args, Context& context) {
  const auto num_pairs = static_cast<int64_t>(args.frequencies->inverse_frequency.size());
  const int64_t head_size = args.query.dim(2);
  context.Reset();
  ForEachRow(args.query.dim(0), context, [&](int64_t t, int thread) {
    Arena& scratch = context.scratch_of(thread);
    scratch.Reset();
    auto* cosines = scratch.Take<float>(num_pairs);
    auto* sines = scratch.Take<float>(num_pairs);
    FillRotation(*args.frequencies, *args.positions.row(t), cosines, sines);
    for (int64_t h = 1; h <= args.query.dim(1); ++h) {
      Rotate(cosines, sines, num_pairs, args.frequencies->interleaved,
             args.query.row(t) + h * head_size - 2 * num_pairs);
    }
  });
}

void LatentWrite(const LatentWriteArgs& args, Context& context) {
  const LatentCacheView& cache = args.cache;
  const int64_t num_pairs = cache.qk_rope_head_dim / 2;
  context.Reset();
  ForEachRow(args.compressed.dim(0), context, [&](int64_t t, int thread) {
    Arena& scratch = context.scratch_of(thread);
    scratch.Reset();
    auto* cosines = scratch.Take<float>(num_pairs);
    auto* sines = scratch.Take<float>(num_pairs);
    auto* row = scratch.Take<float>(cache.row_values());
    const float* input = args.compressed.row(t);
    context.kernels.rms_norm(input, args.norm_weight.data(), args.epsilon, cache.kv_lora_rank, row);
    std::copy(input + cache.kv_lora_rank, input + cache.row_values(), row + cache.kv_lora_rank);
    FillRotation(*args.frequencies, *args.positions.row(t), cosines, sines);
    Rotate(cosines, sines, num_pairs, args.frequencies->interleaved, row + cache.kv_lora_rank);
    void* slot = cache.Row(*args.slots.row(t));
    if (cache.dtype == DType::kF32) {
      std::copy_n(row, cache.row_values(), static_cast<float*>(slot));
    } else {
      context.kernels.to_bf16(row, cache.row_values(), static_cast<uint16_t*>(slot));
    }
  });
}

void Combine(const CombineArgs& args, Context& context) {
  const int64_t size = args.contributions.dim(2);
  const auto add = args.rounding == DType::kBF16 ? context.kernels.add_scaled_bf16 : context.kernels.add_scaled;
  ForEachRow(args.contributions.dim(0), context, [&](int64_t t, int) {
    for (int64_t k = 0; k < args.contributions.dim(1); ++k) {
      add(args.contributions.row(t) + k * size, args.weights.row(t)[k], size, args.output.row(t));
    }
  });
}

}  // namespace tessera::cpu
