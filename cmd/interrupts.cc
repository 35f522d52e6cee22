#include "cmd/interrupts.h"

#include <pthread.h>

#include <utility>

namespace tessera {
namespace {

// Ends the waiting thread; nobody else sends it.
constexpr int kStopSignal = SIGUSR2;

}  // namespace

Interrupts::Interrupts(std::initializer_list<int> signals) {
  sigemptyset(&signals_);
  for (const int signal : signals) sigaddset(&signals_, signal);
  sigaddset(&signals_, kStopSignal);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = std::thread([this] { Run(); });
}

Interrupts::~Interrupts() {
  pthread_kill(thread_.native_handle(), kStopSignal);
  thread_.join();
}

void Interrupts::Handle(Handler handler) {
  absl::MutexLock lock(&mutex_);
  handler_ = std::move(handler);
}

void Interrupts::Run() {
  while (true) {
    int signal = 0;
    if (sigwait(&signals_, &signal) != 0) continue;
    if (signal == kStopSignal) return;
    absl::MutexLock lock(&mutex_);
    if (handler_) handler_(signal);
  }
}

}  // namespace tessera
