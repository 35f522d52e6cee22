#include "scheduler/simulation/quantiles.h"

#include <algorithm>
#include <cmath>

namespace tessera {
namespace {

constexpr double kGrowth = 1.01;

size_t Bucket(absl::Duration duration, size_t last) {
  const double microseconds = absl::ToDoubleMicroseconds(duration);
  if (!(microseconds > 1)) return 0;
  return std::min(last, 1 + static_cast<size_t>(std::log(microseconds) / std::log(kGrowth)));
}

}  // namespace

void Quantiles::Add(absl::Duration duration, int64_t count) {
  counts_[Bucket(duration, kBuckets - 1)] += count;
  count_ += count;
  sum_ += duration * count;
  max_ = std::max(max_, duration);
}

absl::Duration Quantiles::At(double q) const {
  if (count_ == 0) return absl::ZeroDuration();
  const auto wanted = static_cast<int64_t>(std::ceil(q * static_cast<double>(count_)));
  int64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen < wanted || counts_[i] == 0) continue;
    return std::min(max_, absl::Microseconds(i == 0 ? 0.0 : std::pow(kGrowth, static_cast<double>(i) - 0.5)));
  }
  return max_;
}

}  // namespace tessera
