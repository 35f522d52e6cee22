#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "scheduler/contract/engine_port.h"
#include "server/groups/routed_request.h"

namespace tessera {

struct RouterConfig {
  EngineLimits limits;                          // taken for the groups' until one of them is known
  int32_t waiting_requests_max = 1024;          // new requests that wait because no group is ready; more are refused
  absl::Duration wait_max = absl::Seconds(30);  // of a request without a group
  absl::Duration retry_interval = absl::Milliseconds(100);  // for requests that every ready group refuses
  int32_t moves_max = 16;                                   // of one request from group to group
  int32_t moves_without_token_max = 5;  // in a row: a request that breaks its groups must not break them all
};

// What is known of one group, for metrics.
struct GroupSnapshot {
  std::string name;
  EngineLimits limits;
  EngineStatus status;
  int64_t num_open = 0;        // requests of this server
  int64_t num_sent = 0;        // likewise, ever
  int64_t num_moved_away = 0;  // requests that had to go on elsewhere
};

// One engine made of several worker groups. A request goes to the group that has most of its prompt cached, unless that
// group has too much to do (group_choice.h). When its group fails, the request goes on in another, with the tokens it
// has: the sink sees every token once, and the same tokens as without the failure, because a token depends on the seed
// and on the tokens before it alone. While no group is ready requests wait, up to their deadline or wait_max.
//
// It sees groups as EnginePorts: one that fails says so by ending its requests with kError and Unavailable. Each
// attempt has an id of its own, so what an earlier group may still say is not heard. Thread-safe. The sink is called on
// the groups' threads and on this object's own. Lock order: this object's, then a group's; so a group must call its
// sink without its locks.
class GroupRouter final : public EnginePort {
 public:
  using MakePort = std::function<std::unique_ptr<EnginePort>(const std::string& name, TokenSink& sink)>;

  // `clock` and `sink` outlive it. `make_port` makes the port of a group that SetGroups names for the first time.
  GroupRouter(RouterConfig config, const Clock& clock, TokenSink& sink, MakePort make_port);
  ~GroupRouter() override;  // Stop

  // The groups there are. One that is no longer named gets no new requests, and is left when its last one has ended.
  void SetGroups(const std::vector<std::string>& names);

  // A thread that calls RunOnce whenever there may be something to do.
  void Start();
  // Ends all requests with kError; the sink is not called afterwards, and every group is left.
  void Stop();

  // Finds groups for the requests that wait, ends those that waited too long, leaves groups. One thread at a time.
  void RunOnce();

  absl::Status Submit(Request request) override;
  void Cancel(RequestId id) override;
  EngineLimits limits() const override;  // the smallest of the groups'
  EngineStatus Status() const override;  // sums; ready if a group is
  void Drain() override;                 // of this server's; the groups are not told: they have other servers
  std::vector<GroupSnapshot> Groups() const;
  int64_t num_moves() const;

 private:
  enum class Placement {
    kPlaced,
    kNoGroup,  // none is ready
    kFull,     // those that are have no room
  };

  void OnGroupTokens(RouterGroup& group, TokenBatch batch);
  // Takes over what an attempt brought; false: nothing of it is for the sink. A request that has to go on elsewhere is
  // added to `moved`, to wait once the sink has what came before.
  bool Merge(RouterGroup& group, RequestTokens& tokens, std::vector<RequestId>& moved)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool GoesOn(RoutedRequest& routed, RouterGroup& group, const absl::Status& failure)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::StatusOr<Placement> Place(RoutedRequest& routed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  RouterGroup* Choose(const RoutedRequest& routed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Send(RoutedRequest& routed, RouterGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Places or ends it, or leaves it waiting: true.
  bool StillWaits(RoutedRequest& routed, absl::Time now, TokenBatch& ended) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const RoutedRequest& routed, FinishReason reason, absl::Status status, TokenBatch& ended)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<std::unique_ptr<RouterGroup>> TakeLeftGroups() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run();

  const RouterConfig config_;
  const Clock& clock_;
  TokenSink& sink_;
  const MakePort make_port_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<std::unique_ptr<RouterGroup>> groups_ ABSL_GUARDED_BY(mutex_);
  EngineStatus left_ ABSL_GUARDED_BY(mutex_);  // counters of the groups that were left
  absl::flat_hash_map<RequestId, std::unique_ptr<RoutedRequest>> requests_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<RequestId, RoutedRequest*> attempts_ ABSL_GUARDED_BY(mutex_);  // by their ids in the groups
  std::vector<RequestId> waiting_ ABSL_GUARDED_BY(mutex_);                           // without a group, oldest first
  int64_t next_group_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t next_attempt_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t next_choice_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t num_moves_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool wakes_ ABSL_GUARDED_BY(mutex_) = false;
  bool stops_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tessera
