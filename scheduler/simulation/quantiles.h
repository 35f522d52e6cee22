#pragma once

#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace tessera {

// Collects durations and answers quantiles of them within 1 %, in constant memory: a histogram whose bounds grow by 1 %
// from one microsecond to a day.
class Quantiles {
 public:
  void Add(absl::Duration duration, int64_t count = 1);

  // The least duration such that a fraction `q` of all is not above it; zero when there is none.
  absl::Duration At(double q) const;

  absl::Duration mean() const { return count_ == 0 ? absl::ZeroDuration() : sum_ / count_; }
  absl::Duration max() const { return max_; }
  int64_t count() const { return count_; }

 private:
  static constexpr size_t kBuckets = 2600;

  std::array<int64_t, kBuckets> counts_{};  // [0]: below a microsecond; the last: above a day
  int64_t count_ = 0;
  absl::Duration sum_;
  absl::Duration max_;
};

}  // namespace tessera
