#pragma once

#include <string>

#include "base/mutex.h"

namespace tessera {

// The model that all groups of a server must have, because a request may move between them: that of the first group to
// say which it has. Thread-safe.
class ModelPin {
 public:
  // The fingerprint of the server's model: `fingerprint`, if it is the first.
  std::string Pin(const std::string& fingerprint) {
    const MutexLock lock(mutex_);
    if (fingerprint_.empty()) fingerprint_ = fingerprint;
    return fingerprint_;
  }

 private:
  Mutex mutex_;
  std::string fingerprint_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tessera
