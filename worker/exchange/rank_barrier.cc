#include "worker/exchange/rank_barrier.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/check.h"

namespace tessera {

RankBarrier::RankBarrier(int32_t num_ranks, absl::Duration timeout)
    : timeout_(timeout), arrivals_(static_cast<size_t>(num_ranks)) {
  TESSERA_CHECK(num_ranks > 0);
}

absl::Status RankBarrier::Meet(int32_t rank, RankPosition position) {
  const MutexLock lock(mutex_);
  if (!broken_.ok()) return broken_;
  Arrival& mine = arrivals_[static_cast<size_t>(rank)];
  TESSERA_CHECK(!mine.here);  // one thread a rank
  mine = {.here = true, .position = position};
  if (++num_here_ == static_cast<int32_t>(arrivals_.size())) {
    CheckPositions();
    for (Arrival& arrival : arrivals_) arrival.here = false;
    num_here_ = 0;
    ++round_;
    changed_.NotifyAll();
    return broken_;
  }
  const int64_t round = round_;
  const absl::Time deadline = absl::Now() + timeout_;
  while (round_ == round && broken_.ok()) {
    const bool late = !changed_.WaitFor(mutex_, deadline - absl::Now());
    if (late && round_ == round && broken_.ok()) {
      AbortLocked(absl::DeadlineExceededError(
          absl::StrFormat("rank %d waited %s in step %d, meeting %d, and did not see %s", rank,
                          absl::FormatDuration(timeout_), position.step, position.meeting, MissingRanks())));
    }
  }
  return broken_;
}

void RankBarrier::Abort(const absl::Status& reason) {
  const MutexLock lock(mutex_);
  AbortLocked(reason);
}

absl::Status RankBarrier::status() const {
  const MutexLock lock(mutex_);
  return broken_;
}

void RankBarrier::AbortLocked(absl::Status reason) {
  TESSERA_CHECK(!reason.ok());
  if (broken_.ok()) broken_ = std::move(reason);
  changed_.NotifyAll();
}

void RankBarrier::CheckPositions() {
  for (size_t rank = 1; rank < arrivals_.size(); ++rank) {
    const RankPosition& first = arrivals_[0].position;
    const RankPosition& other = arrivals_[rank].position;
    if (first == other) continue;
    AbortLocked(absl::InternalError(absl::StrFormat(
        "ranks have lost each other: rank 0 is in step %d, meeting %d; rank %d is in step %d, meeting %d", first.step,
        first.meeting, rank, other.step, other.meeting)));
    return;
  }
}

std::string RankBarrier::MissingRanks() const {
  std::string text;
  for (size_t rank = 0; rank < arrivals_.size(); ++rank) {
    const Arrival& arrival = arrivals_[rank];
    if (arrival.here) continue;
    absl::StrAppend(&text, text.empty() ? "" : ", ",
                    absl::StrFormat("rank %d (last seen in step %d, meeting %d)", rank, arrival.position.step,
                                    arrival.position.meeting));
  }
  return text;
}

}  // namespace tessera
