#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tessera {

// Where the ranks of a group tell each other how to connect: small values by key, set once each. Every group, and every
// new beginning of a group, has a fresh one. Whoever makes it decides how values travel. Thread-safe.
class RendezvousStore {
 public:
  virtual ~RendezvousStore() = default;

  virtual absl::Status Set(const std::string& key, const std::string& value) = 0;

  // Waits until some rank has set the key. An error after `timeout`, and at once when the group has ended.
  virtual absl::StatusOr<std::string> Get(const std::string& key, absl::Duration timeout) = 0;
};

}  // namespace tessera
