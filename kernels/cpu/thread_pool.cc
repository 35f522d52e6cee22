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
  stopping_ = true;
  {
    const std::lock_guard lock(mutex_);
    generation_.fetch_add(1);
  }
  loop_started_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t count, Function function) {
  if (count <= 1 || workers_.empty()) {
    for (int64_t item = 0; item < count; ++item) function(item, 0);
    return;
  }
  function_ = &function;
  count_ = count;
  next_item_.store(0, std::memory_order_relaxed);
  running_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    generation_.fetch_add(1);
  }
  loop_started_.notify_all();
  RunItems(0);
  for (uint32_t left = running_.load(); left != 0;) left = AwaitChange(running_, left, worker_finished_);
}

void ThreadPool::WorkerMain(int thread) {
  uint32_t generation = 0;
  while (true) {
    // A loop cannot start before every worker has finished the one before, so no generation is missed.
    generation = AwaitChange(generation_, generation, loop_started_);
    if (stopping_) return;
    RunItems(thread);
    const std::lock_guard lock(mutex_);
    if (running_.fetch_sub(1) == 1) worker_finished_.notify_one();
  }
}

void ThreadPool::RunItems(int thread) {
  while (true) {
    const int64_t item = next_item_.fetch_add(1, std::memory_order_relaxed);
    if (item >= count_) return;
    (*function_)(item, thread);
  }
}

uint32_t ThreadPool::AwaitChange(const std::atomic<uint32_t>& value, uint32_t old, std::condition_variable& changed) {
  for (int i = 0; i < kSpins; ++i) {
    const uint32_t current = value.load();
    if (current != old) return current;
    Relax();
  }
  std::unique_lock lock(mutex_);
  changed.wait(lock, [&] { return value.load() != old; });
  return value.load();
}

}  // namespace tessera::cpu
