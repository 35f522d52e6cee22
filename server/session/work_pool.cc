#include "server/session/work_pool.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace tessera {

WorkPool::WorkPool(int num_threads, int jobs_max) : jobs_max_(jobs_max), pool_(static_cast<size_t>(num_threads)) {}

WorkPool::~WorkPool() { Stop(); }

void WorkPool::Stop() {
  if (!pool_.has_value()) return;
  pool_->stop();
  pool_->join();
  pool_.reset();  // the jobs that wait go only now, and what they hold may not outlive the caller
}

bool WorkPool::TryRun(std::function<void()> job) {
  if (!pool_.has_value()) return false;
  if (num_jobs_.fetch_add(1) >= jobs_max_) {
    num_jobs_.fetch_sub(1);
    return false;
  }
  boost::asio::post(*pool_, [this, job = std::move(job)]() mutable {
    job();
    job = nullptr;
    num_jobs_.fetch_sub(1);
  });
  return true;
}

}  // namespace tessera
