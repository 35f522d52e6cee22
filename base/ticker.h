#pragma once

#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace tessera {

// Calls a function again and again on a thread of its own. What it calls counts time in ticks: a process that was
// stopped for a while then does not take its own absence for somebody else's.
class Ticker {
 public:
  Ticker(absl::Duration interval, std::function<void()> tick) : interval_(interval), tick_(std::move(tick)) {
    thread_ = std::thread([this] { Run(); });
  }

  // Waits for a call that is under way.
  ~Ticker() {
    {
      const MutexLock lock(mutex_);
      stops_ = true;
      stopping_.NotifyAll();
    }
    thread_.join();
  }

 private:
  void Run() {
    while (true) {
      {
        const MutexLock lock(mutex_);
        if (!stops_) stopping_.WaitFor(mutex_, interval_);
        if (stops_) return;
      }
      tick_();
    }
  }

  const absl::Duration interval_;
  const std::function<void()> tick_;
  Mutex mutex_;
  CondVar stopping_;
  bool stops_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tessera
