#pragma once

#include <cstdint>

namespace tessera {

// In which precision a product is computed. Sums are in F32 in every case.
enum class Precision : uint8_t {
  kF32,   // inputs and weights in F32: parity with the reference implementation, and the router in every mode
  kBF16,  // inputs rounded to BF16; weights in BF16, or FP8 with their scales
};

// A weight in the layout that one backend's GEMM reads. Made by Backend::Pack and usable with that backend only.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  virtual int64_t rows() const = 0;   // output features
  virtual int64_t cols() const = 0;   // input features
  virtual int64_t bytes() const = 0;  // memory it occupies
};

}  // namespace tessera
