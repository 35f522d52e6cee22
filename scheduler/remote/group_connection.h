#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "scheduler/contract/worker_port.h"

namespace tessera {

// A worker group that has to be gathered before it can be used and that can be lost: one epoch. Connect, Submit and
// Receive belong to one thread at a time, the others may be called from any.
class GroupConnection : public WorkerPort {
 public:
  // Waits until every worker is ready: limits() is known then. An error ends the epoch.
  virtual absl::Status Connect() = 0;

  // Ends the epoch; the first reason stays. Connect and Receive return it.
  virtual void Break(const absl::Status& reason) = 0;

  // Break, and waits until nothing of the epoch is left. Not from a callback of this connection.
  virtual void Close() = 0;

  // A tenth of a second has passed.
  virtual void Tick() = 0;

  // Of the checkpoint that all workers have loaded, 16 bytes. Requires: connected.
  virtual std::string model_fingerprint() const = 0;

  // What it waits for, or why it is broken.
  virtual std::string State() const = 0;
};

// Called once at most each, on any thread, with no lock held.
struct GroupEvents {
  std::function<void()> on_broken;
  std::function<void()> on_leaving;  // a worker was asked to stop: what runs may end, nothing new should begin
};

}  // namespace tessera
