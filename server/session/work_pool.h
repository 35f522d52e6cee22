#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>

namespace tessera {

// Threads for work that is long for one request: parsing, rendering and tokenizing prompts. Kept apart from the threads
// that serve sockets and running streams, so that a long prompt delays nobody's tokens. Bounded. Thread-safe.
class WorkPool {
 public:
  WorkPool(int num_threads, int jobs_max);
  ~WorkPool();  // Stop

  void Stop();  // waits for the running jobs; those that wait are dropped

  // Runs the job on some thread, in no set order; false if `jobs_max` are waiting or running.
  [[nodiscard]] bool TryRun(std::function<void()> job);

  int num_jobs() const { return num_jobs_; }  // waiting or running

 private:
  const int jobs_max_;
  std::atomic<int> num_jobs_ = 0;
  boost::asio::thread_pool pool_;
};

}  // namespace tessera
