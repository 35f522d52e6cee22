#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <optional>

namespace tessera {

// Threads for work that is long for one request: parsing, rendering and tokenizing prompts. Kept apart from the threads
// that serve sockets and running streams, so that a long prompt delays nobody's tokens. Bounded. Thread-safe.
class WorkPool {
 public:
  WorkPool(int num_threads, int jobs_max);
  ~WorkPool();  // Stop

  // Waits for the running jobs; those that wait are dropped, with all they hold. Not while another thread calls TryRun.
  void Stop();

  // Runs the job on some thread, in no set order; false if `jobs_max` are waiting or running, or after Stop.
  [[nodiscard]] bool TryRun(std::function<void()> job);

  int num_jobs() const { return num_jobs_; }  // waiting or running; what they hold is let go before they stop counting

 private:
  const int jobs_max_;
  std::atomic<int> num_jobs_ = 0;
  std::optional<boost::asio::thread_pool> pool_;  // until Stop
};

}  // namespace tessera
