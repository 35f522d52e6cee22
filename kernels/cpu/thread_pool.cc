#include "kernels/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include "base/check.h"

namespace tessera::cpu {
namespace {

constexpr int kSpins = 2000;  // about 50 µs: longer than the gaps between a step's operations

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Best effort: a container may allow fewer CPUs than the machine has.
void PinCurrentThread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

}  // namespace

ThreadPool::ThreadPool(const ThreadPoolOptions& options) {
  TESSERA_CHECK(options.num_threads >= 1);
  for (int thread = 1; thread < options.num_threads; ++thread) {
    workers_.emplace_back([this, thread, pin = options.pin] {
      if (pin) PinCurrentThread(thread);
      WorkerMain(thread);
    });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  state_.store((uint64_t{current_loop()} + 1) << 32);
  {
    const std::lock_guard lock(mutex_);
    loop_started_.notify_all();
  }
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t count, Function function) {
  if (count <= 1 || workers_.empty()) {
    for (int64_t item = 0; item < count; ++item) function(item, 0);
    return;
  }
  TESSERA_CHECK(count < int64_t{1} << 32);
  function_.store(&function, std::memory_order_relaxed);
  count_.store(count, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  state_.store((uint64_t{current_loop()} + 1) << 32 | static_cast<uint64_t>(count));
  if (num_sleeping_.load() > 0) {
    const std::lock_guard lock(mutex_);
    loop_started_.notify_all();
  }
  RunItems(0);
  AwaitLastItem(count);
}

void ThreadPool::WorkerMain(int thread) {
  uint32_t loop = 0;
  while (!stopping_.load()) {
    AwaitNewLoop(loop);
    loop = current_loop();
    RunItems(thread);
  }
}

void ThreadPool::RunItems(int thread) {
  uint64_t state = state_.load();
  while (true) {
    const auto not_started = static_cast<int64_t>(state & 0xFFFF'FFFFU);
    if (not_started == 0) return;
    if (!state_.compare_exchange_weak(state, state - 1)) continue;
    const int64_t count = count_.load(std::memory_order_relaxed);
    (*function_.load(std::memory_order_relaxed))(count - not_started, thread);
    if (finished_.fetch_add(1) + 1 == count && caller_sleeps_.load()) {
      const std::lock_guard lock(mutex_);
      last_item_finished_.notify_one();
    }
    state = state_.load();
  }
}

void ThreadPool::AwaitNewLoop(uint32_t seen_loop) {
  for (int i = 0; i < kSpins; ++i) {
    if (current_loop() != seen_loop) return;
    Relax();
  }
  num_sleeping_.fetch_add(1);
  std::unique_lock lock(mutex_);
  loop_started_.wait(lock, [&] { return current_loop() != seen_loop; });
  num_sleeping_.fetch_sub(1);
}

void ThreadPool::AwaitLastItem(int64_t count) {
  for (int i = 0; i < kSpins; ++i) {
    if (finished_.load() == count) return;
    Relax();
  }
  caller_sleeps_.store(true);
  std::unique_lock lock(mutex_);
  last_item_finished_.wait(lock, [&] { return finished_.load() == count; });
  caller_sleeps_.store(false);
}

}  // namespace tessera::cpu
