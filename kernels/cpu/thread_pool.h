#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace tessera::cpu {

struct ThreadPoolOptions {
  int num_threads = 1;  // the caller's included: 1 starts no thread at all
  bool pin = false;     // worker i runs on CPU i only; the caller's thread is left where it is
};

// Runs the items of one loop on several threads. Between loops the workers spin for a moment, then sleep, so that
// decode steps start fast and an idle server costs nothing. Used by one thread at a time.
class ThreadPool {
 public:
  // `item` counts from 0; `thread` is 0 … num_threads() − 1 and names the scratch memory to use.
  using Function = absl::FunctionRef<void(int64_t item, int thread)>;

  explicit ThreadPool(const ThreadPoolOptions& options);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls function(item, thread) once for each item 0 … count − 1 and returns when all have returned. Which thread runs
  // an item is not determined, so an item's result must not depend on it. Must not be called from inside `function`.
  void ParallelFor(int64_t count, Function function);

 private:
  void WorkerMain(int thread);
  // Runs items until none is left to start.
  void RunItems(int thread);
  void AwaitNewLoop(uint32_t seen_loop);
  void AwaitLastItem(int64_t count);
  uint32_t current_loop() const { return static_cast<uint32_t>(state_.load() >> 32); }

  // The current loop. Whether there is an item to claim is decided by state_ alone. A worker that claimed one holds the
  // loop open, so only then it reads these; one that comes late finds nothing to claim and harms nothing. The caller
  // waits for items, never for workers: on a busy machine a worker may wake long after the caller has done all the
  // work.
  std::atomic<const Function*> function_{nullptr};
  std::atomic<int64_t> count_{0};
  alignas(64) std::atomic<uint64_t> state_{0};    // upper half: number of the loop; lower half: items not started
  alignas(64) std::atomic<int64_t> finished_{0};  // items of the current loop
  std::atomic<bool> stopping_{false};

  // Who sleeps is counted before a last look at the state, and the state is changed before a look at the count.
  std::atomic<int> num_sleeping_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::mutex mutex_;  // orders a sleeper's last look with the wake-up; guards nothing else
  std::condition_variable loop_started_;
  std::condition_variable last_item_finished_;
  std::vector<std::thread> workers_;
};

}  // namespace tessera::cpu
