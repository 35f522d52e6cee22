#pragma once

#include <csignal>

namespace tessera {

// While it lives, a write of this thread to a connection that its peer has closed is an error only, not also a signal
// that ends the process. Threads started meanwhile inherit that for good.
class SigpipeGuard {
 public:
  SigpipeGuard();
  ~SigpipeGuard();
  SigpipeGuard(const SigpipeGuard&) = delete;
  SigpipeGuard& operator=(const SigpipeGuard&) = delete;

 private:
  sigset_t before_{};
  bool was_pending_ = false;
};

}  // namespace tessera
