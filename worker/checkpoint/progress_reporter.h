#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace tessera {

// Shows how far a long task is. Thread-safe: ranks of one process may share it.
class ProgressReporter {
 public:
  virtual ~ProgressReporter() = default;

  // `done` of `total` units. The first call starts the time, the one with done ≥ total ends it.
  virtual void Update(int64_t done, int64_t total) = 0;
};

// A bar that is drawn again at most ten times a second, for a terminal:
//   loading  [##########          ]  50 %  12 s, 12 s left
class ProgressBar final : public ProgressReporter {
 public:
  ProgressBar(std::string title, std::FILE* terminal, const Clock& clock);
  void Update(int64_t done, int64_t total) override;

 private:
  const std::string title_;
  std::FILE* const terminal_;
  const Clock& clock_;
  absl::Mutex mutex_;
  std::optional<absl::Time> start_ ABSL_GUARDED_BY(mutex_);
  absl::Time drawn_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

// A log line at the start, at the end and every ten seconds between, for everywhere else.
class ProgressLog final : public ProgressReporter {
 public:
  ProgressLog(std::string title, const Clock& clock);
  void Update(int64_t done, int64_t total) override;

 private:
  const std::string title_;
  const Clock& clock_;
  absl::Mutex mutex_;
  std::optional<absl::Time> start_ ABSL_GUARDED_BY(mutex_);
  absl::Time logged_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

// The bar if `stream` is a terminal, else the log. `clock` outlives it.
std::unique_ptr<ProgressReporter> MakeProgressReporter(std::string title, std::FILE* stream, const Clock& clock);

}  // namespace tessera
