#include "kernels/problems.h"

#include "base/check.h"

namespace tessera {

OwnedMatrix OwnedMatrix::Random(Numbers& numbers, DType dtype, int64_t rows, int64_t cols, int32_t block_rows,
                                int32_t block_cols, int64_t scale_row_offset) {
  OwnedMatrix matrix;
  matrix.bytes_.resize(static_cast<size_t>(rows * cols * SizeOf(dtype)));
  for (int64_t i = 0; i < rows * cols; ++i) {
    uint8_t* place = matrix.bytes_.data() + i * SizeOf(dtype);
    const float value = numbers.Uniform(-1, 1);
    if (dtype == DType::kF32) {
      std::memcpy(place, &value, sizeof(value));
    } else if (dtype == DType::kBF16) {
      const BFloat16 half(value);
      std::memcpy(place, &half, sizeof(half));
    } else if (dtype == DType::kF16) {
      const auto half = static_cast<uint16_t>(numbers.Next() & 0xBBFF);  // every sign and mantissa, below 1
      std::memcpy(place, &half, sizeof(half));
    } else {
      const auto byte = static_cast<uint8_t>(numbers.Next());
      *place = (byte & 0x7F) == 0x7F ? uint8_t{0} : byte;  // every number, no NaN
    }
  }
  matrix.view_ = {.data = matrix.bytes_.data(), .dtype = dtype, .rows = rows, .cols = cols};
  if (dtype == DType::kF8E4M3) {
    const int64_t scale_rows = (rows + scale_row_offset + block_rows - 1) / block_rows;
    const int64_t scale_cols = (cols + block_cols - 1) / block_cols;
    matrix.scales_ = numbers.Vector(scale_rows * scale_cols, 0.001F, 0.01F);
    matrix.view_.scale = matrix.scales_.data();
    matrix.view_.block_rows = block_rows;
    matrix.view_.block_cols = block_cols;
    matrix.view_.scale_row_offset = scale_row_offset;
  }
  return matrix;
}

OwnedCache::OwnedCache(Numbers& numbers, DType dtype, int64_t num_blocks, int64_t kv_lora_rank,
                       int64_t qk_rope_head_dim)
    : view_{.dtype = dtype,
            .num_blocks = num_blocks,
            .kv_lora_rank = kv_lora_rank,
            .qk_rope_head_dim = qk_rope_head_dim} {
  bytes_.resize(static_cast<size_t>(num_blocks * kBlockTokens * view_.row_values() * SizeOf(dtype)));
  view_.data = bytes_.data();
  for (int64_t slot = 0; slot < num_blocks * kBlockTokens; ++slot) {
    for (int64_t i = 0; i < view_.row_values(); ++i) Set(slot, i, numbers.Uniform(-1, 1));
  }
}

std::vector<int32_t> OwnedCache::TakeBlocks(int64_t num_tokens) {
  std::vector<int32_t> blocks;
  for (int64_t t = 0; t < num_tokens; t += kBlockTokens) blocks.insert(blocks.begin(), next_block_++);
  TESSERA_CHECK(next_block_ <= view_.num_blocks);
  return blocks;
}

void OwnedCache::Set(int64_t slot, int64_t column, float value) {
  if (view_.dtype == DType::kF32) {
    static_cast<float*>(view_.Row(slot))[column] = value;
  } else {
    static_cast<BFloat16*>(view_.Row(slot))[column] = BFloat16(value);
  }
}

std::unique_ptr<PackedMatrix> PackOrDie(Backend& backend, const MatrixView& matrix, Precision precision) {
  absl::StatusOr<std::unique_ptr<PackedMatrix>> packed = backend.Pack(matrix, precision);
  TESSERA_CHECK_OK(packed.status());
  return *std::move(packed);
}

std::vector<float> RunGemm(Backend& backend, const PackedMatrix& weight, const std::vector<float>& input) {
  const int64_t num_rows = static_cast<int64_t>(input.size()) / weight.cols();
  std::vector<float> output(static_cast<size_t>(num_rows * weight.rows()), -7.0F);
  const GemmArgs args = {.input = {input.data(), {num_rows, weight.cols()}},
                         .weight = &weight,
                         .output = {output.data(), {num_rows, weight.rows()}}};
  TESSERA_CHECK_OK(Validate(args));
  TESSERA_CHECK_OK(backend.Gemm(args));
  return output;
}

}  // namespace tessera
