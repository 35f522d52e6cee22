#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"

namespace tessera::cpu {

// Memory aligned to cache lines, on huge pages where it is large: weights are streamed, and small pages cost a
// translation miss every 4 KiB. Contents are zero.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t bytes);

  char* data() const { return memory_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Unmap {
    size_t mapped_bytes;
    void operator()(char* memory) const;
  };
  std::unique_ptr<char, Unmap> memory_;
  int64_t bytes_ = 0;
};

// Hands out memory that lives until the next Reset. After the first calls with the largest shapes it allocates nothing.
class Arena {
 public:
  // Takes back everything handed out, and makes room for the largest use so far in one piece.
  void Reset();
  // A moment to return to: Release takes back what was handed out since, so that a loop does not grow.
  struct Mark {
    size_t num_buffers = 0;
    int64_t used = 0;
  };
  Mark Now() const { return {buffers_.size(), used_}; }
  void Release(Mark mark);
  // `count` uninitialized values, aligned to 64 bytes.
  template <typename T>
  T* Take(int64_t count) {
    return reinterpret_cast<T*>(TakeBytes(count * static_cast<int64_t>(sizeof(T))));
  }

 private:
  char* TakeBytes(int64_t wanted);

  std::vector<Buffer> buffers_;  // the last one is in use
  int64_t used_ = 0;             // of the last buffer
  int64_t total_ = 0;            // handed out and not released
  int64_t peak_ = 0;             // the largest total since Reset
};

// Memory for weights, cut from large pieces so that small weights lie on huge pages too. A piece is freed when the last
// weight in it is; contents are zero.
class WeightMemory {
 public:
  // Aligned to 64 bytes.
  std::shared_ptr<char> Take(int64_t bytes);

 private:
  std::shared_ptr<const Buffer> piece_;
  int64_t used_ = 0;
};

}  // namespace tessera::cpu
