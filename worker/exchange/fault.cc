#include "worker/exchange/fault.h"

#include "base/check.h"

namespace tessera {

bool Fault::Raise(const absl::Status& reason) {
  TESSERA_CHECK(!reason.ok());
  const MutexLock lock(mutex_);
  if (!reason_.ok()) return false;
  reason_ = reason;
  is_raised_.store(true, std::memory_order_release);
  return true;
}

absl::Status Fault::status() const {
  if (!is_raised()) return absl::OkStatus();
  const MutexLock lock(mutex_);
  return reason_;
}

}  // namespace tessera
