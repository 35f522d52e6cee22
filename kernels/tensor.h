#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "base/check.h"

namespace tessera {

// A view of numbers in memory: row-major, contiguous, owned by somebody else.
template <typename T, int Rank>
class Tensor {
 public:
  using Shape = std::array<int64_t, static_cast<size_t>(Rank)>;

  Tensor() = default;
  Tensor(T* data, Shape shape) : data_(data), shape_(shape) {}
  // A view of numbers is also a view of constant numbers.
  template <typename U>
  // NOLINTNEXTLINE(google-explicit-constructor): implicit on purpose
  requires(std::is_same_v<const U, T> && !std::is_const_v<U>) Tensor(const Tensor<U, Rank>& other)
      : data_(other.data()), shape_(other.shape()) {}

  T* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int i) const { return shape_[static_cast<size_t>(i)]; }
  int64_t size() const {
    int64_t product = 1;
    for (const int64_t extent : shape_) product *= extent;
    return product;
  }
  // The numbers of index `i` of the first dimension, in a row.
  T* row(int64_t i) const {
    TESSERA_DCHECK(i >= 0 && i < shape_[0]);
    int64_t stride = 1;
    for (size_t d = 1; d < shape_.size(); ++d) stride *= shape_[d];
    return data_ + i * stride;
  }
  // The indices begin … begin + count − 1 of the first dimension.
  Tensor Rows(int64_t begin, int64_t count) const {
    TESSERA_DCHECK(begin >= 0 && count >= 0 && begin + count <= shape_[0]);
    Shape shape = shape_;
    shape[0] = count;
    return Tensor(count == 0 ? data_ : row(begin), shape);
  }

 private:
  T* data_ = nullptr;
  Shape shape_{};
};

}  // namespace tessera
