// Any bytes as a safetensors file: never a crash, and every tensor that is accepted lies in the file.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "worker/checkpoint/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto file_bytes = static_cast<int64_t>(size);
  const auto tensors = tessera::ParseSafetensorsHeader(bytes, file_bytes, "fuzz.safetensors");
  if (!tensors.ok()) return 0;
  int64_t expected = tensors->empty() ? file_bytes : tensors->front().begin;
  for (const tessera::StoredTensor& tensor : *tensors) {
    TESSERA_CHECK(tensor.begin == expected && tensor.bytes >= 0);
    expected += tensor.bytes;
    int64_t values = 1;
    for (const int64_t length : tensor.shape) values = length == 0 ? 0 : values * (values == 0 ? 0 : length);
    TESSERA_CHECK(values * SizeOf(tensor.dtype) == tensor.bytes);
  }
  TESSERA_CHECK(expected == file_bytes);
  return 0;
}
