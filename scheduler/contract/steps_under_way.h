#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>
#include <vector>

#include "base/check.h"
#include "scheduler/contract/step_result.h"

namespace tessera {

// Of WorkerPort: one step runs, the next is planned.
inline constexpr size_t kStepsUnderWayMax = 2;

// The steps that a WorkerPort was given and whose results were not received: each rank's come in order, a step is done
// when all ranks' have come. Not thread-safe.
class StepsUnderWay {
 public:
  explicit StepsUnderWay(size_t num_ranks) : results_(num_ranks) {}

  // Requires: fewer than kStepsUnderWayMax are under way.
  void Begin() {
    TESSERA_CHECK(count_ < kStepsUnderWayMax);
    ++count_;
  }

  // The rank's next result; false if no step under way lacks one of this rank.
  [[nodiscard]] bool TryAdd(size_t rank, StepResult result) {
    if (results_[rank].size() >= count_) return false;
    results_[rank].push_back(std::move(result));
    return true;
  }

  size_t count() const { return count_; }
  bool HasResultOf(size_t rank) const { return !results_[rank].empty(); }
  bool OldestIsDone() const {
    return count_ > 0 && std::all_of(results_.begin(), results_.end(), [](const auto& rank) { return !rank.empty(); });
  }

  // The results of the oldest step, in rank order. Requires OldestIsDone().
  std::vector<StepResult> TakeOldest() {
    TESSERA_CHECK(OldestIsDone());
    std::vector<StepResult> step;
    for (std::deque<StepResult>& rank : results_) {
      step.push_back(std::move(rank.front()));
      rank.pop_front();
    }
    --count_;
    return step;
  }

 private:
  std::vector<std::deque<StepResult>> results_;  // [ranks]
  size_t count_ = 0;
};

}  // namespace tessera
