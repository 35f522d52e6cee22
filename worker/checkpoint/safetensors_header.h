#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tessera {

// Every number format that a safetensors file may hold in whole bytes. Which of them a weight may have is decided where
// tensors are matched with the architecture.
enum class StoredDType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool
};
std::string_view ToString(StoredDType dtype);  // as in the file, such as "F8_E4M3"
int64_t SizeOf(StoredDType dtype);

// One entry of a safetensors header.
struct StoredTensor {
  std::string name;
  StoredDType dtype = StoredDType::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0;  // in the file, not in its data area
  int64_t bytes = 0;
};

// "BF16 [576, 7168]"
std::string Describe(StoredDType dtype, const std::vector<int64_t>& shape);

constexpr int64_t kSafetensorsHeaderBytesMax = 100'000'000;  // the limit of the format's own library

// Reads the header of a safetensors file of `file_bytes` bytes and checks that it describes the whole file: every
// tensor's bytes are shape · size and the tensors cover the data area without gap, overlap or remainder. `prefix` holds
// at least the first 8 + header length bytes of the file, or all of it. Sorted by place. Errors begin with `file`.
absl::StatusOr<std::vector<StoredTensor>> ParseSafetensorsHeader(std::string_view prefix, int64_t file_bytes,
                                                                 std::string_view file);

}  // namespace tessera
