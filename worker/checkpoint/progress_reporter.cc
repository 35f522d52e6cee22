#include "worker/checkpoint/progress_reporter.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"

namespace tessera {
namespace {

constexpr absl::Duration kDrawInterval = absl::Milliseconds(100);
constexpr absl::Duration kLogInterval = absl::Seconds(10);

double Fraction(int64_t done, int64_t total) {
  if (total <= 0) return 1;
  return std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
}

// "12 s, 30 s left"; what is left is known once something is done.
std::string Times(absl::Duration elapsed, double fraction) {
  const double seconds = absl::ToDoubleSeconds(elapsed);
  std::string text = absl::StrFormat("%.0f s", seconds);
  if (fraction > 0 && fraction < 1) text += absl::StrFormat(", %.0f s left", seconds / fraction - seconds);
  return text;
}

}  // namespace

ProgressBar::ProgressBar(std::string title, std::FILE* terminal, const Clock& clock)
    : title_(std::move(title)), terminal_(terminal), clock_(clock) {}

void ProgressBar::Update(int64_t done, int64_t total) {
  constexpr int kWidth = 30;
  const absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  if (!start_) start_ = now;
  const double fraction = Fraction(done, total);
  if (finished_ || (fraction < 1 && now - drawn_ < kDrawInterval)) return;
  drawn_ = now;
  finished_ = fraction >= 1;
  const auto filled = static_cast<size_t>(fraction * kWidth);
  const std::string bar = std::string(filled, '#') + std::string(kWidth - filled, ' ');
  // "\x1b[K" clears what a longer line before left behind.
  const std::string line = absl::StrFormat("\r%s  [%s] %3.0f %%  %s\x1b[K%s", title_, bar, fraction * 100,
                                           Times(now - *start_, fraction), finished_ ? "\n" : "");
  std::fputs(line.c_str(), terminal_);
  std::fflush(terminal_);
}

ProgressLog::ProgressLog(std::string title, const Clock& clock) : title_(std::move(title)), clock_(clock) {}

void ProgressLog::Update(int64_t done, int64_t total) {
  const absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  if (!start_) start_ = now;
  const double fraction = Fraction(done, total);
  if (finished_ || (fraction < 1 && now - logged_ < kLogInterval)) return;
  logged_ = now;
  finished_ = fraction >= 1;
  spdlog::info("{}: {:.0f} %, {}", title_, fraction * 100, Times(now - *start_, fraction));
}

std::unique_ptr<ProgressReporter> MakeProgressReporter(std::string title, std::FILE* stream, const Clock& clock) {
  if (isatty(fileno(stream)) != 0) return std::make_unique<ProgressBar>(std::move(title), stream, clock);
  return std::make_unique<ProgressLog>(std::move(title), clock);
}

}  // namespace tessera
