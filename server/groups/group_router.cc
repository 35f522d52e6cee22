#include "server/groups/group_router.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "scheduler/contract/status_totals.h"
#include "server/groups/engine_figures.h"
#include "server/groups/group_choice.h"

namespace tessera {
namespace {

// How often waiting requests look for a group, and groups are left.
constexpr absl::Duration kRunInterval = absl::Milliseconds(50);

// Another group may do what this one could not.
bool IsForAnotherGroup(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable || status.code() == absl::StatusCode::kResourceExhausted;
}

bool IsEmpty(const RequestTokens& tokens) {
  return tokens.tokens.empty() && tokens.prompt_logprobs.empty() && !tokens.finish.has_value();
}

}  // namespace

GroupRouter::GroupRouter(RouterConfig config, const Clock& clock, TokenSink& sink, MakePort make_port)
    : config_(config), clock_(clock), sink_(sink), make_port_(std::move(make_port)) {}

GroupRouter::~GroupRouter() { Stop(); }

void GroupRouter::SetGroups(const std::vector<std::string>& names) {
  const MutexLock lock(mutex_);
  for (const auto& group : groups_) group->is_named = false;
  for (const std::string& name : names) {
    const auto found =
        std::find_if(groups_.begin(), groups_.end(), [&](const auto& group) { return group->name == name; });
    if (found != groups_.end()) {
      (*found)->is_named = true;
      continue;
    }
    auto group = std::make_unique<RouterGroup>(name, next_group_++, [this](RouterGroup& speaker, TokenBatch batch) {
      OnGroupTokens(speaker, std::move(batch));
    });
    group->port = make_port_(name, *group);
    groups_.push_back(std::move(group));
  }
}

void GroupRouter::Start() {
  thread_ = std::thread([this] { Run(); });
}

void GroupRouter::Run() {
  while (true) {
    {
      const MutexLock lock(mutex_);
      if (!wakes_ && !stops_) changed_.WaitFor(mutex_, kRunInterval);
      if (stops_) return;
      wakes_ = false;
    }
    RunOnce();
  }
}

void GroupRouter::Stop() {
  std::vector<std::unique_ptr<EnginePort>> ports;
  {
    const MutexLock lock(mutex_);
    stops_ = true;
    changed_.NotifyAll();
    for (const auto& group : groups_) ports.push_back(std::move(group->port));
  }
  if (thread_.joinable()) thread_.join();
  ports.clear();  // each ends what it has; not under the lock, because it may call its sink
  TokenBatch ended;
  {
    const MutexLock lock(mutex_);
    while (!requests_.empty()) {
      End(*requests_.begin()->second, FinishReason::kError, absl::UnavailableError("the server stops"), ended);
    }
    groups_.clear();
    attempts_.clear();
  }
  if (!ended.requests.empty()) sink_.OnTokens(std::move(ended));
}

// ---- From the server ----

absl::Status GroupRouter::Submit(Request request) {
  const EngineLimits limits = this->limits();
  TESSERA_RETURN_IF_ERROR(CheckRequest(request, limits));
  if (request.arrival == absl::InfinitePast()) request.arrival = clock_.Now();
  const RequestId id = request.id;
  auto routed = std::make_unique<RoutedRequest>();
  routed->keys = PromptKeys(request.prompt);
  routed->request = std::move(request);

  const MutexLock lock(mutex_);
  if (is_draining_ || stops_) return absl::UnavailableError("draining: no new requests are taken");
  const auto [entry, is_new] = requests_.try_emplace(id, std::move(routed));
  if (!is_new) return absl::AlreadyExistsError(absl::StrFormat("id: got %d, which is open", id.value));
  absl::StatusOr<Placement> placement = Place(*entry->second);
  if (placement.ok() && *placement == Placement::kFull) placement = entry->second->last_error;
  if (placement.ok() && *placement == Placement::kNoGroup &&
      static_cast<int32_t>(waiting_.size()) >= config_.waiting_requests_max) {
    placement = absl::UnavailableError(
        absl::StrFormat("no worker group is ready, and %d requests wait for one; try again later", waiting_.size()));
  }
  if (!placement.ok()) {
    requests_.erase(entry);
    return placement.status();
  }
  if (*placement == Placement::kPlaced) return absl::OkStatus();
  entry->second->waits_since = clock_.Now();
  waiting_.push_back(id);
  return absl::OkStatus();
}

void GroupRouter::Cancel(RequestId id) {
  const MutexLock lock(mutex_);
  const auto found = requests_.find(id);
  if (found == requests_.end() || std::exchange(found->second->is_cancelled, true)) return;
  const RoutedRequest& routed = *found->second;
  if (routed.group != nullptr && routed.group->port != nullptr) routed.group->port->Cancel(routed.attempt);
  wakes_ = true;
  changed_.NotifyAll();
}

EngineLimits GroupRouter::limits() const {
  const MutexLock lock(mutex_);
  EngineLimits smallest;
  for (const auto& group : groups_) {
    if (group->port != nullptr) smallest = Smallest(smallest, group->port->limits());
  }
  return smallest.context_tokens_max > 0 ? smallest : config_.limits;
}

EngineStatus GroupRouter::Status() const {
  const MutexLock lock(mutex_);
  EngineStatus sum = left_;
  if (groups_.empty()) sum.reason = "no worker group is known";
  for (const auto& group : groups_) {
    if (group->port == nullptr) continue;
    const EngineStatus status = group->port->Status();
    AddFigures(status, sum);
    sum.ready = sum.ready || (status.ready && group->is_named);
    if (!status.ready) absl::StrAppend(&sum.reason, sum.reason.empty() ? "" : "; ", group->name, ": ", status.reason);
  }
  if (is_draining_) {
    sum.ready = false;
    sum.reason = "draining";
  }
  if (sum.ready) sum.reason.clear();
  sum.num_waiting += static_cast<int32_t>(waiting_.size());
  return sum;
}

void GroupRouter::Drain() {
  const MutexLock lock(mutex_);
  is_draining_ = true;
}

std::vector<GroupSnapshot> GroupRouter::Groups() const {
  const MutexLock lock(mutex_);
  std::vector<GroupSnapshot> snapshots;
  for (const auto& group : groups_) {
    if (group->port == nullptr) continue;
    snapshots.push_back({.name = group->name,
                         .limits = group->port->limits(),
                         .status = group->port->Status(),
                         .num_open = group->num_open,
                         .num_sent = group->num_sent,
                         .num_moved_away = group->num_moved_away});
  }
  return snapshots;
}

int64_t GroupRouter::num_moves() const {
  const MutexLock lock(mutex_);
  return num_moves_;
}

// ---- To the groups ----

absl::StatusOr<GroupRouter::Placement> GroupRouter::Place(RoutedRequest& routed) {
  while (RouterGroup* group = Choose(routed)) {
    const absl::Status status = Send(routed, *group);
    if (status.ok()) {
      routed.refused_by.clear();
      return Placement::kPlaced;
    }
    if (!IsForAnotherGroup(status)) return status;
    routed.last_error = status;
    routed.refused_by.push_back(group->number);
  }
  const bool is_full = !routed.refused_by.empty() && routed.last_error.code() == absl::StatusCode::kResourceExhausted;
  routed.refused_by.clear();  // the next time all are asked again
  return is_full ? Placement::kFull : Placement::kNoGroup;
}

RouterGroup* GroupRouter::Choose(const RoutedRequest& routed) {
  std::vector<RouterGroup*> candidates;
  std::vector<GroupOffer> offers;
  for (const auto& group : groups_) {
    if (!group->is_named || group->port == nullptr) continue;
    if (std::find(routed.refused_by.begin(), routed.refused_by.end(), group->number) != routed.refused_by.end()) {
      continue;
    }
    const EngineStatus status = group->port->Status();
    if (!status.ready) {
      group->prefixes.Clear();  // it comes back with an empty cache
      continue;
    }
    const EngineLimits limits = group->port->limits();
    candidates.push_back(group.get());
    offers.push_back({.load = LoadOf(status, limits.num_ranks),
                      .num_tokens_found = limits.has_prefix_cache ? group->prefixes.NumTokensFound(routed.keys) : 0,
                      .last_chosen = group->last_chosen});
  }
  if (candidates.empty()) return nullptr;
  return candidates[ChooseGroup(offers, static_cast<int64_t>(routed.request.prompt.size()))];
}

absl::Status GroupRouter::Send(RoutedRequest& routed, RouterGroup& group) {
  Request request = routed.request;
  request.id = RequestId{next_attempt_++};
  // Known first: tokens may come before Submit returns; they wait for the lock.
  attempts_.emplace(request.id, &routed);
  routed.group = &group;
  routed.attempt = request.id;
  routed.num_prompt_logprobs_seen = 0;
  absl::Status status = group.port->Submit(std::move(request));
  if (!status.ok()) {
    attempts_.erase(routed.attempt);
    routed.group = nullptr;
    return status;
  }
  group.prefixes.Insert(routed.keys);
  group.last_chosen = next_choice_++;
  ++group.num_open;
  ++group.num_sent;
  return absl::OkStatus();
}

// ---- From the groups ----

void GroupRouter::OnGroupTokens(RouterGroup& group, TokenBatch batch) {
  std::vector<RequestId> moved;
  {
    const MutexLock lock(mutex_);
    TokenBatch kept;
    kept.requests.reserve(batch.requests.size());
    for (RequestTokens& tokens : batch.requests) {
      if (Merge(group, tokens, moved)) kept.requests.push_back(std::move(tokens));
    }
    batch = std::move(kept);
  }
  if (!batch.requests.empty()) sink_.OnTokens(std::move(batch));
  if (moved.empty()) return;
  // Only now, so that no other group's tokens overtake the last ones of this group.
  const MutexLock lock(mutex_);
  waiting_.insert(waiting_.end(), moved.begin(), moved.end());
  wakes_ = true;
  changed_.NotifyAll();
}

bool GroupRouter::Merge(RouterGroup& group, RequestTokens& tokens, std::vector<RequestId>& moved) {
  const auto found = attempts_.find(tokens.request);
  if (found == attempts_.end()) return false;
  RoutedRequest& routed = *found->second;
  tokens.request = routed.request.id;
  Deliver(routed, tokens);
  if (!tokens.finish.has_value()) return !IsEmpty(tokens);

  attempts_.erase(found);
  --group.num_open;
  routed.group = nullptr;
  if (tokens.finish == FinishReason::kError && IsForAnotherGroup(tokens.status)) {
    if (routed.is_cancelled) {
      tokens.finish = FinishReason::kCancelled;
      tokens.status = absl::OkStatus();
    } else if (GoesOn(routed, group, tokens.status)) {
      moved.push_back(routed.request.id);
      tokens.finish.reset();
      tokens.status = absl::OkStatus();
      return !IsEmpty(tokens);
    }
  }
  requests_.erase(routed.request.id);
  return true;
}

bool GroupRouter::GoesOn(RoutedRequest& routed, RouterGroup& group, const absl::Status& failure) {
  if (stops_) return false;
  routed.last_error = failure;
  const absl::Time now = clock_.Now();
  if (failure.code() == absl::StatusCode::kResourceExhausted) {
    routed.refused_by.push_back(group.number);
    if (routed.waits_since == absl::InfinitePast()) routed.waits_since = now;
    return true;
  }
  ++num_moves_;
  ++group.num_moved_away;
  routed.is_accepted = true;
  routed.waits_since = now;
  ++routed.num_moves_without_token;
  return ++routed.num_moves <= config_.moves_max && routed.num_moves_without_token <= config_.moves_without_token_max;
}

// ---- Requests without a group ----

void GroupRouter::RunOnce() {
  TokenBatch ended;
  std::vector<std::unique_ptr<RouterGroup>> left;
  {
    const MutexLock lock(mutex_);
    const absl::Time now = clock_.Now();
    std::vector<RequestId> kept;
    for (const RequestId id : waiting_) {
      if (StillWaits(*requests_.at(id), now, ended)) kept.push_back(id);
    }
    waiting_ = std::move(kept);
    left = TakeLeftGroups();
  }
  if (!ended.requests.empty()) sink_.OnTokens(std::move(ended));
  left.clear();  // not under the lock: a port waits for its threads
}

bool GroupRouter::StillWaits(RoutedRequest& routed, absl::Time now, TokenBatch& ended) {
  if (routed.is_cancelled) {
    End(routed, FinishReason::kCancelled, absl::OkStatus(), ended);
    return false;
  }
  if (now >= routed.request.deadline) {
    End(routed, FinishReason::kDeadline, absl::OkStatus(), ended);
    return false;
  }
  if (now >= routed.next_try) {
    const absl::StatusOr<Placement> placement = Place(routed);
    absl::Status refusal = placement.status();
    if (placement.ok() && *placement == Placement::kPlaced) return false;
    if (placement.ok() && *placement == Placement::kFull) {
      routed.next_try = now + config_.retry_interval;
      if (!routed.is_accepted) refusal = routed.last_error;
    }
    if (!refusal.ok()) {
      End(routed, FinishReason::kError, std::move(refusal), ended);
      return false;
    }
  }
  if (now - routed.waits_since < config_.wait_max) return true;
  End(routed, FinishReason::kError,
      absl::UnavailableError(absl::StrFormat(
          "no worker group took the request for %s; try again later%s%s", absl::FormatDuration(config_.wait_max),
          routed.last_error.ok() ? "" : "; the last said: ", std::string(routed.last_error.message()))),
      ended);
  return false;
}

void GroupRouter::End(const RoutedRequest& routed, FinishReason reason, absl::Status status, TokenBatch& ended) {
  const RequestId id = routed.request.id;
  ended.requests.push_back({.request = id, .finish = reason, .status = std::move(status)});
  requests_.erase(id);
}

std::vector<std::unique_ptr<RouterGroup>> GroupRouter::TakeLeftGroups() {
  std::vector<std::unique_ptr<RouterGroup>> left;
  for (auto& group : groups_) {
    if (group->is_named || group->num_open > 0 || group->port == nullptr) continue;
    AddCounters(group->port->Status(), left_);
    left.push_back(std::move(group));
  }
  std::erase(groups_, nullptr);
  return left;
}

}  // namespace tessera
