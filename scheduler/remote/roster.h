#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/contract/wire/hello_proto.h"

namespace tessera {

struct RosterConfig {
  int32_t num_ranks = 0;
  bool order_is_rank = true;  // the i-th address is rank i; else each worker says which rank it is
  int32_t retry_ticks_min = 2;
  int32_t retry_ticks_max = 20;
};

// Keeps the names of a group's workers while it gathers: who is to be called when, who has said what, who does not fit.
// Knows no stream and no thread; time comes as ticks.
class Roster {
 public:
  using Slot = int64_t;  // names one address for ever

  struct Call {
    Slot slot = 0;
    std::string address;
    std::optional<int32_t> rank;  // that is expected there
  };

  explicit Roster(const RosterConfig& config) : config_(config) {}

  // The addresses to call, replacing earlier ones. A worker that was reached stays until its stream ends.
  void SetAddresses(const std::vector<std::string>& addresses);
  // Why there are no addresses.
  void SetFindError(const absl::Status& error) { find_error_ = error; }

  // Those to be called now; each is then under way until OnClosed.
  std::vector<Call> TakeDue();

  // Refuses, saying what differs from whom, a worker that cannot work with the others. It is not called again soon.
  absl::Status OnHello(Slot slot, const wire::WorkerHello& hello);
  void OnHeartbeat(Slot slot, int64_t loading_done, int64_t loading_total, bool is_loaded);
  // Why a call ends; the first reason of a call stays. False if the call before ended for the same.
  bool SetError(Slot slot, const absl::Status& reason);
  // Each end doubles the time until the next call, a hello resets it.
  void OnClosed(Slot slot);
  void Tick();

  // Every rank has said hello and has loaded.
  bool IsComplete() const;
  // Of a complete roster, by rank.
  std::vector<Slot> ByRank() const;
  // Of a complete roster: what all workers have, and the fewest cache blocks that one has.
  WorkerLimits Limits() const;
  std::string ModelFingerprint() const;

  // "rank 2 at host:port", for messages.
  std::string Name(Slot slot) const;
  // Who is missing, and why.
  std::string Describe() const;

 private:
  struct Worker {
    std::string address;
    std::optional<int32_t> expected_rank;
    bool is_called = false;
    bool is_listed = true;  // among the addresses
    std::optional<wire::WorkerHello> hello;
    int64_t loading_done = 0;
    int64_t loading_total = 0;
    bool is_loaded = false;
    absl::Status error;       // why the last call ended; OK: it has not, or there was none
    bool has_failed = false;  // `error` is this call's
    int32_t ticks_to_call = 0;
    int32_t backoff_ticks = 0;
  };

  absl::Status CheckHello(const Worker& worker, const wire::WorkerHello& hello) const;
  absl::Status CheckAgainst(const Worker& other, const wire::WorkerHello& hello) const;
  std::string StateOf(const Worker& worker) const;
  int32_t num_loaded() const;

  const RosterConfig config_;
  std::map<Slot, Worker> workers_;
  Slot next_slot_ = 0;
  absl::Status find_error_;
};

}  // namespace tessera
