#include "worker/exchange/sigpipe_guard.h"

#include <pthread.h>

#include <ctime>

namespace tessera {
namespace {

sigset_t SigpipeAlone() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  return set;
}

bool IsPending() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGPIPE) == 1;
}

}  // namespace

SigpipeGuard::SigpipeGuard() : was_pending_(IsPending()) {
  const sigset_t sigpipe = SigpipeAlone();
  pthread_sigmask(SIG_BLOCK, &sigpipe, &before_);
}

SigpipeGuard::~SigpipeGuard() {
  if (!was_pending_ && IsPending()) {
    const sigset_t sigpipe = SigpipeAlone();
    const timespec now{};
    sigtimedwait(&sigpipe, nullptr, &now);
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace tessera
