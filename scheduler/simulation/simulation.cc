#include "scheduler/simulation/simulation.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "scheduler/simulation/draws.h"
#include "scheduler/simulation/simulated_group.h"

namespace tessera {
namespace {

constexpr TokenId kStopToken = 0;  // the last token of every answer and no other: TokenAt() never gives it

class Simulation {
 public:
  Simulation(const SimulationConfig& config, const Trace& trace);

  SimulationOutcome Run();

 private:
  // The next thing to happen. Of those at the same time a client's deed comes first: the engine loop looks at its inbox
  // when its step begins.
  void Arrive(size_t index);
  void Cancel();
  void StepGroup();

  Request MakeRequest(size_t index) const;
  void Deliver(int32_t group);
  void Apply(int32_t group, const RequestTokens& brought);
  void Observe(int32_t group);
  void Wake(int32_t group, absl::Time at);
  SimulationOutcome Finish();
  absl::Duration Since(absl::Time time) const { return time - start_; }

  const SimulationConfig& config_;
  const Trace& trace_;
  std::vector<std::unique_ptr<SimulatedGroup>> groups_;
  GroupChoice choice_;
  absl::Time start_;
  absl::btree_set<std::pair<absl::Time, int32_t>> agenda_;        // groups with something to do
  std::vector<bool> is_awake_;                                    // [groups]: in agenda_
  absl::btree_set<std::pair<absl::Time, size_t>> cancellations_;  // of requests that have arrived
  SimulationOutcome outcome_;
  std::vector<absl::Duration> last_tokens_;  // [requests]: when tokens came last
};

Simulation::Simulation(const SimulationConfig& config, const Trace& trace)
    : config_(config), trace_(trace), choice_(config.policy, config.num_groups) {
  for (int32_t i = 0; i < config.num_groups; ++i) {
    groups_.push_back(std::make_unique<SimulatedGroup>(config.worker, config.engine));
  }
  start_ = groups_.front()->now();
  is_awake_.resize(groups_.size());
  outcome_.groups.resize(groups_.size());
  outcome_.requests.resize(trace.requests.size());
  last_tokens_.resize(trace.requests.size());
}

SimulationOutcome Simulation::Run() {
  size_t next = 0;
  while (true) {
    const absl::Time group = agenda_.empty() ? absl::InfiniteFuture() : agenda_.begin()->first;
    const absl::Time cancel = cancellations_.empty() ? absl::InfiniteFuture() : cancellations_.begin()->first;
    const absl::Time arrival =
        next == trace_.requests.size() ? absl::InfiniteFuture() : start_ + trace_.requests[next].arrival;
    if (arrival != absl::InfiniteFuture() && arrival <= std::min(group, cancel)) {
      Arrive(next++);
    } else if (cancel != absl::InfiniteFuture() && cancel <= group) {
      Cancel();
    } else if (group != absl::InfiniteFuture()) {
      StepGroup();
    } else {
      return Finish();
    }
  }
}

void Simulation::Arrive(size_t index) {
  const TraceRequest& asked = trace_.requests[index];
  const absl::Time now = start_ + asked.arrival;
  RequestOutcome& outcome = outcome_.requests[index];
  outcome.group = choice_.Choose(asked.prefix);
  outcome.refused = groups_[static_cast<size_t>(outcome.group)]->loop().Submit(MakeRequest(index));
  if (!outcome.refused.ok()) return;
  choice_.AddLoad(outcome.group, asked.prompt_tokens);
  if (asked.cancel_after != absl::InfiniteDuration()) cancellations_.emplace(now + asked.cancel_after, index);
  Wake(outcome.group, now);
}

void Simulation::Cancel() {
  const auto [now, index] = *cancellations_.begin();
  cancellations_.erase(cancellations_.begin());
  const RequestOutcome& outcome = outcome_.requests[index];
  if (outcome.finish.has_value()) return;
  groups_[static_cast<size_t>(outcome.group)]->loop().Cancel({static_cast<int64_t>(index)});
  Wake(outcome.group, now);
}

void Simulation::StepGroup() {
  const int32_t group = agenda_.begin()->second;
  agenda_.erase(agenda_.begin());
  is_awake_[static_cast<size_t>(group)] = false;
  Deliver(group);
  SimulatedGroup& simulated = *groups_[static_cast<size_t>(group)];
  if (simulated.Step()) Wake(group, simulated.now());
  Observe(group);
}

Request Simulation::MakeRequest(size_t index) const {
  const TraceRequest& asked = trace_.requests[index];
  const auto vocab_size = static_cast<uint64_t>(config_.worker.limits.vocab_size);
  Request request{.id = {static_cast<int64_t>(index)},
                  .sampling = {.seed = index},
                  .max_tokens = asked.max_tokens,
                  .min_tokens = asked.output_tokens - 1,  // the token after these is the end
                  .stop_tokens = {kStopToken},
                  .priority = asked.priority,
                  .client = static_cast<uint64_t>(asked.client) + 1,
                  .arrival = start_ + asked.arrival};
  request.prompt.reserve(static_cast<size_t>(asked.prompt_tokens));
  const uint64_t shared = Draws::Mix(static_cast<uint64_t>(asked.prefix));
  const uint64_t own = Draws::Mix(~static_cast<uint64_t>(index));
  for (int32_t i = 0; i < asked.prompt_tokens; ++i) {
    const uint64_t text = i < asked.prefix_tokens ? shared : own;
    request.prompt.push_back(static_cast<TokenId>(Draws::Mix(text + static_cast<uint64_t>(i)) % vocab_size));
  }
  return request;
}

void Simulation::Deliver(int32_t group) {
  for (const RequestTokens& brought : groups_[static_cast<size_t>(group)]->TakeBrought()) Apply(group, brought);
}

void Simulation::Apply(int32_t group, const RequestTokens& brought) {
  const auto index = static_cast<size_t>(brought.request.value);
  const TraceRequest& asked = trace_.requests[index];
  RequestOutcome& outcome = outcome_.requests[index];
  TESSERA_CHECK(outcome.group == group && !outcome.finish.has_value());
  const absl::Duration now = Since(groups_[static_cast<size_t>(group)]->now());
  for (const TokenId token : brought.tokens) {
    ++outcome.num_tokens;
    const bool is_last = outcome.num_tokens == asked.output_tokens;
    TESSERA_CHECK(
        token ==
        (is_last ? kStopToken : SimulatedWorker::TokenAt(outcome.num_tokens - 1, config_.worker.limits.vocab_size)));
  }
  if (!brought.tokens.empty()) {
    const auto count = static_cast<int32_t>(brought.tokens.size());
    if (outcome.num_tokens == count) {
      outcome.started = Since(brought.started);
      outcome.first_token = now;
      outcome.num_cached_tokens = brought.num_cached_tokens;
    } else {
      const absl::Duration gap = now - last_tokens_[index];
      outcome_.itl.Add(gap / count, count);
      outcome.longest_gap = std::max(outcome.longest_gap, gap);
    }
    last_tokens_[index] = now;
    choice_.AddLoad(group, count);
  }
  if (!brought.finish.has_value()) return;
  outcome.finish = brought.finish;
  outcome.end = now;
  outcome_.end = std::max(outcome_.end, now);
  choice_.AddLoad(group, -asked.prompt_tokens - outcome.num_tokens);
  const bool is_complete = brought.finish == FinishReason::kStop || brought.finish == FinishReason::kLength;
  TESSERA_CHECK(!is_complete || outcome.num_tokens == asked.output_tokens);
}

void Simulation::Observe(int32_t group) {
  const EngineStatus status = groups_[static_cast<size_t>(group)]->loop().Status();
  GroupOutcome& outcome = outcome_.groups[static_cast<size_t>(group)];
  outcome.waiting_max = std::max(outcome.waiting_max, status.num_waiting);
  outcome.running_max = std::max(outcome.running_max, status.num_running);
  outcome.blocks_used_max = std::max(outcome.blocks_used_max, status.num_blocks_used);
}

void Simulation::Wake(int32_t group, absl::Time at) {
  if (is_awake_[static_cast<size_t>(group)]) return;
  is_awake_[static_cast<size_t>(group)] = true;
  SimulatedGroup& simulated = *groups_[static_cast<size_t>(group)];
  simulated.AdvanceTo(at);
  agenda_.emplace(simulated.now(), group);
}

SimulationOutcome Simulation::Finish() {
  for (size_t i = 0; i < groups_.size(); ++i) {
    GroupOutcome& outcome = outcome_.groups[i];
    outcome.status = groups_[i]->loop().Status();
    outcome.busy = groups_[i]->worker().busy();
    outcome.num_sequences_left = groups_[i]->worker().num_sequences();
  }
  return std::move(outcome_);
}

}  // namespace

absl::Status Validate(const SimulationConfig& config) {
  if (config.num_groups < 1) {
    return absl::InvalidArgumentError(absl::StrFormat("groups: got %d, wanted at least 1", config.num_groups));
  }
  if (config.worker.limits.vocab_size < 2) {
    return absl::InvalidArgumentError(
        absl::StrFormat("vocab_size: got %d, wanted at least 2", config.worker.limits.vocab_size));
  }
  const double acceptance = config.worker.draft_acceptance;
  if (!(acceptance >= 0 && acceptance <= 1)) {
    return absl::InvalidArgumentError(absl::StrFormat("draft_acceptance: got %g, wanted 0 to 1", acceptance));
  }
  TESSERA_RETURN_IF_ERROR(Validate(config.worker.cost));
  return Validate(config.engine, config.worker.limits);
}

SimulationOutcome Simulate(const SimulationConfig& config, const Trace& trace) {
  TESSERA_CHECK_OK(Validate(config));
  return Simulation(config, trace).Run();
}

}  // namespace tessera
