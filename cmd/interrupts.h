#pragma once

#include <csignal>
#include <functional>
#include <initializer_list>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace tessera {

// Turns signals into calls on a thread of its own, where everything is allowed. Construct it in main before any other
// thread starts: the signals are blocked there, and threads inherit that.
class Interrupts {
 public:
  using Handler = std::function<void(int signal)>;

  Interrupts(std::initializer_list<int> signals);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // What the next signals do; an empty handler ignores them. Waits for a call of the earlier handler that is under way.
  void Handle(Handler handler);

 private:
  void Run();

  sigset_t signals_;
  absl::Mutex mutex_;
  Handler handler_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace tessera
