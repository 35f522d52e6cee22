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
  void RunItems(int thread);
  // Waits until `value` differs from `old`: spins, then sleeps on `changed`. Returns the new value.
  uint32_t AwaitChange(const std::atomic<uint32_t>& value, uint32_t old, std::condition_variable& changed);

  // The current loop; written by the caller before it raises generation_.
  const Function* function_ = nullptr;
  int64_t count_ = 0;
  alignas(64) std::atomic<int64_t> next_item_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};  // raised once a loop
  alignas(64) std::atomic<uint32_t> running_{0};     // workers that have not finished the current loop
  bool stopping_ = false;                            // written before the last raise of generation_

  std::mutex mutex_;  // orders a sleeper's last look with the wake-up; guards nothing else
  std::condition_variable loop_started_;
  std::condition_variable worker_finished_;
  std::vector<std::thread> workers_;
};

}  // namespace tessera::cpu
