#pragma once

#include <atomic>
#include <cstdint>

namespace tessera {

// How many bytes all shares of it may hold together. Thread-safe; outlives its shares.
class ByteBudget {
 public:
  explicit ByteBudget(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // One holder's part, given back when it is destroyed. For one thread at a time.
  class Share {
   public:
    explicit Share(ByteBudget& budget) : budget_(budget) {}
    ~Share() { budget_.bytes_held_ -= bytes_; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // False, and nothing is taken, if the budget has not so much left.
    [[nodiscard]] bool TryGrow(int64_t num_bytes) {
      if (!budget_.TryTake(num_bytes)) return false;
      bytes_ += num_bytes;
      return true;
    }

   private:
    ByteBudget& budget_;
    int64_t bytes_ = 0;
  };

  int64_t bytes_held() const { return bytes_held_; }

 private:
  bool TryTake(int64_t num_bytes) {
    int64_t held = bytes_held_;
    do {
      if (num_bytes > bytes_max_ - held) return false;
    } while (!bytes_held_.compare_exchange_weak(held, held + num_bytes));
    return true;
  }

  const int64_t bytes_max_;
  std::atomic<int64_t> bytes_held_ = 0;
};

}  // namespace tessera
