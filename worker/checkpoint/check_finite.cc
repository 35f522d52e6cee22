#include "worker/checkpoint/check_finite.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

// How a number format marks what is not finite: all bits of `mask` set. Adding `step`, the lowest bit of the mask, then
// carries into the sign bit, which was masked out; so several numbers fit in one 64-bit word without disturbing each
// other.
struct FiniteTest {
  uint64_t mask, step, sign;
};

// The same pattern in each number of a word.
constexpr uint64_t Repeat(uint64_t pattern, int bits) {
  uint64_t word = 0;
  for (int shift = 0; shift < 64; shift += bits) word |= pattern << shift;
  return word;
}

constexpr FiniteTest MakeTest(uint64_t mask, uint64_t step, int bits) {
  return {Repeat(mask, bits), Repeat(step, bits), Repeat(uint64_t{1} << (bits - 1), bits)};
}

constexpr FiniteTest TestFor(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return MakeTest(0x7F80'0000, 0x0080'0000, 32);
    case DType::kBF16:
      return MakeTest(0x7F80, 0x0080, 16);
    case DType::kF16:
      return MakeTest(0x7C00, 0x0400, 16);
    case DType::kF8E4M3:
      return MakeTest(0x7F, 0x01, 8);
  }
  TESSERA_CHECK(false);
}

constexpr int64_t kWordBytes = sizeof(uint64_t);

uint64_t LoadWord(const char* data, int64_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, data, static_cast<size_t>(bytes));
  return word;
}

// Whether any number in `bytes` bytes is not finite. The bits of a word's end past the data are 0, a finite number.
bool HasNonFinite(const char* data, int64_t bytes, const FiniteTest& test) {
  uint64_t found = 0;
  int64_t i = 0;
  for (; i + kWordBytes <= bytes; i += kWordBytes) found |= (LoadWord(data + i, kWordBytes) & test.mask) + test.step;
  if (i < bytes) found |= (LoadWord(data + i, bytes - i) & test.mask) + test.step;
  return (found & test.sign) != 0;
}

// The index of the first number that is not finite; −1 if all are.
int64_t FirstNonFinite(const char* data, int64_t count, DType dtype) {
  constexpr int64_t kChunkBytes = 1 << 16;  // in the first-level cache when it is looked at again
  const int64_t item_bytes = SizeOf(dtype);
  const FiniteTest test = TestFor(dtype);
  for (int64_t begin = 0; begin < count * item_bytes; begin += kChunkBytes) {
    const int64_t bytes = std::min(kChunkBytes, count * item_bytes - begin);
    if (!HasNonFinite(data + begin, bytes, test)) continue;
    for (int64_t i = 0; i < bytes; i += item_bytes) {
      if (HasNonFinite(data + begin + i, item_bytes, test)) return (begin + i) / item_bytes;
    }
  }
  return -1;
}

absl::Status CheckScales(const MatrixView& matrix, std::string_view name) {
  constexpr float kE4M3Max = 448;
  const int64_t scale_rows = (matrix.rows + matrix.scale_row_offset + matrix.block_rows - 1) / matrix.block_rows;
  const int64_t scale_cols = (matrix.cols + matrix.block_cols - 1) / matrix.block_cols;
  for (int64_t i = 0; i < scale_rows * scale_cols; ++i) {
    const float scale = matrix.scale[i];
    if (!(scale > 0 && scale * kE4M3Max <= std::numeric_limits<float>::max())) {  // written so that NaN fails too
      return absl::InvalidArgumentError(
          absl::StrFormat("'%s' has the scale %g for block [%d, %d], wanted a positive number", name, scale,
                          i / scale_cols, i % scale_cols));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFinite(const MatrixView& matrix, std::string_view name) {
  if (matrix.scale != nullptr) TESSERA_RETURN_IF_ERROR(CheckScales(matrix, name));
  const int64_t index = FirstNonFinite(static_cast<const char*>(matrix.data), matrix.rows * matrix.cols, matrix.dtype);
  if (index < 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("'%s' holds NaN or an infinity at [%d, %d], wanted finite weights",
                                                    name, index / matrix.cols, index % matrix.cols));
}

absl::Status CheckFinite(std::span<const float> values, std::string_view name) {
  const int64_t index =
      FirstNonFinite(reinterpret_cast<const char*>(values.data()), static_cast<int64_t>(values.size()), DType::kF32);
  if (index < 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("'%s' holds %g at [%d], wanted finite weights", name, values[static_cast<size_t>(index)], index));
}

}  // namespace tessera
