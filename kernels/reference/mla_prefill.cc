#include <vector>

#include "kernels/reference/latent_row.h"
#include "kernels/reference/reference.h"
#include "kernels/reference/reference_matrix.h"
#include "kernels/reference/softmax.h"

namespace tessera::reference {
namespace {

// The keys and values of all cached tokens that a slice may see, for one head.
struct Expanded {
  std::vector<std::vector<float>> keys;    // [tokens][N + P]
  std::vector<std::vector<float>> values;  // [tokens][V]
};

Expanded Expand(const MlaPrefillArgs& args, const PrefillSlice& slice, int64_t head) {
  const ReferenceMatrix& kv_b = ReferenceMatrix::From(args.kv_b);
  const int64_t rank = args.cache.kv_lora_rank;
  const int64_t nope = args.query.dim(2) - args.cache.qk_rope_head_dim;
  const int64_t value_size = args.output.dim(2);
  const int64_t first = head * (nope + value_size);
  Expanded result;
  for (int64_t s = 0; s < slice.first_position + slice.num_rows; ++s) {
    const std::vector<float> latent = LatentRow(args.cache, slice.block_table, s);
    std::vector<float>& key = result.keys.emplace_back();
    for (int64_t i = 0; i < nope; ++i) key.push_back(Operand(kv_b.Dot(first + i, latent.data()), kv_b.precision()));
    for (size_t i = static_cast<size_t>(rank); i < latent.size(); ++i) {
      key.push_back(Operand(latent[i], kv_b.precision()));
    }
    std::vector<float>& value = result.values.emplace_back();
    for (int64_t i = 0; i < value_size; ++i) {
      value.push_back(Operand(kv_b.Dot(first + nope + i, latent.data()), kv_b.precision()));
    }
  }
  return result;
}

void Attend(const float* query, const Expanded& expanded, int64_t num_tokens, float scale, Precision precision,
            float* output) {
  std::vector<float> scores;
  for (int64_t s = 0; s < num_tokens; ++s) {
    const std::vector<float>& key = expanded.keys[static_cast<size_t>(s)];
    float sum = 0;
    for (size_t i = 0; i < key.size(); ++i) sum += Operand(query[i], precision) * key[i];
    scores.push_back(scale * sum);
  }
  Softmax(scores);
  for (size_t i = 0; i < expanded.values[0].size(); ++i) {
    float sum = 0;
    for (size_t s = 0; s < scores.size(); ++s) sum += scores[s] * expanded.values[s][i];
    output[i] = sum;
  }
}

}  // namespace

void MlaPrefill(const MlaPrefillArgs& args) {
  const Precision precision = ReferenceMatrix::From(args.kv_b).precision();
  for (const PrefillSlice& slice : args.slices) {
    if (slice.num_rows == 0) continue;
    for (int64_t h = 0; h < args.query.dim(1); ++h) {
      const Expanded expanded = Expand(args, slice, h);
      for (int64_t r = 0; r < slice.num_rows; ++r) {
        const int64_t row = slice.first_row + r;
        Attend(args.query.row(row) + h * args.query.dim(2), expanded, slice.first_position + r + 1, args.scale,
               precision, args.output.row(row) + h * args.output.dim(2));
      }
    }
  }
}

}  // namespace tessera::reference
