#include "scheduler/remote/roster.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

template <typename... Args>
absl::Status Mismatch(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::FailedPreconditionError(absl::StrFormat(format, args...));
}

std::string Hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) absl::StrAppendFormat(&text, "%02x", static_cast<unsigned char>(byte));
  return text;
}

std::string ValueOf(const std::vector<wire::Setting>& settings, const std::string& name) {
  for (const wire::Setting& setting : settings) {
    if (setting.name == name) return setting.value;
  }
  return "nothing";
}

struct LimitField {
  const char* name;
  int32_t WorkerLimits::*value;
};
// num_blocks may differ: the group uses the fewest.
constexpr LimitField kSameOnAllRanks[] = {{"num_ranks", &WorkerLimits::num_ranks},
                                          {"block_tokens", &WorkerLimits::block_tokens},
                                          {"step_tokens_max", &WorkerLimits::step_tokens_max},
                                          {"sequences_max", &WorkerLimits::sequences_max},
                                          {"context_tokens_max", &WorkerLimits::context_tokens_max},
                                          {"vocab_size", &WorkerLimits::vocab_size},
                                          {"draft_tokens_max", &WorkerLimits::draft_tokens_max}};

}  // namespace

void Roster::SetAddresses(const std::vector<std::string>& addresses) {
  find_error_ = absl::OkStatus();
  std::set<std::string> missing(addresses.begin(), addresses.end());
  for (auto entry = workers_.begin(); entry != workers_.end();) {
    Worker& worker = entry->second;
    worker.is_listed = missing.erase(worker.address) > 0;
    entry = !worker.is_listed && !worker.is_called ? workers_.erase(entry) : std::next(entry);
  }
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (missing.erase(addresses[i]) == 0) continue;
    Worker worker{.address = addresses[i]};
    if (config_.order_is_rank) worker.expected_rank = static_cast<int32_t>(i);
    workers_.emplace(next_slot_++, std::move(worker));
  }
}

std::vector<Roster::Call> Roster::TakeDue() {
  std::vector<Call> due;
  for (auto& [slot, worker] : workers_) {
    if (worker.is_called || !worker.is_listed || worker.ticks_to_call > 0) continue;
    worker.is_called = true;
    worker.has_failed = false;
    due.push_back({.slot = slot, .address = worker.address, .rank = worker.expected_rank});
  }
  return due;
}

absl::Status Roster::OnHello(Slot slot, const wire::WorkerHello& hello) {
  Worker& worker = workers_.at(slot);
  if (const absl::Status fits = CheckHello(worker, hello); !fits.ok()) {
    worker.backoff_ticks = config_.retry_ticks_max;  // it takes a person or a restart
    return fits;
  }
  worker.hello = hello;
  worker.backoff_ticks = 0;
  return absl::OkStatus();
}

absl::Status Roster::CheckHello(const Worker& worker, const wire::WorkerHello& hello) const {
  if (worker.hello.has_value()) return Mismatch("said hello twice");
  if (hello.num_ranks != config_.num_ranks) {
    return Mismatch("ranks: got %d, wanted %d", hello.num_ranks, config_.num_ranks);
  }
  if (hello.limits.num_ranks != config_.num_ranks) {
    return Mismatch("limits.num_ranks: got %d, wanted %d", hello.limits.num_ranks, config_.num_ranks);
  }
  if (worker.expected_rank.has_value() && hello.rank != *worker.expected_rank) {
    return Mismatch("rank: got %d, wanted %d, its place in the list", hello.rank, *worker.expected_rank);
  }
  for (const auto& [slot, other] : workers_) {
    if (!other.hello.has_value()) continue;
    if (other.hello->rank == hello.rank) {
      return Mismatch("rank: got %d, which the worker at %s has", hello.rank, other.address);
    }
    TESSERA_RETURN_IF_ERROR(CheckAgainst(other, hello));
  }
  return absl::OkStatus();
}

absl::Status Roster::CheckAgainst(const Worker& other, const wire::WorkerHello& hello) const {
  const wire::WorkerHello& wanted = *other.hello;
  const std::string as = absl::StrFormat("as rank %d at %s", wanted.rank, other.address);
  if (hello.build != wanted.build) return Mismatch("build: got %s, wanted %s %s", hello.build, wanted.build, as);
  if (hello.model_fingerprint != wanted.model_fingerprint) {
    return Mismatch("model fingerprint: got %s, wanted %s %s", Hex(hello.model_fingerprint),
                    Hex(wanted.model_fingerprint), as);
  }
  for (const wire::Setting& setting : wanted.settings) {
    const std::string got = ValueOf(hello.settings, setting.name);
    if (got != setting.value) return Mismatch("%s: got %s, wanted %s %s", setting.name, got, setting.value, as);
  }
  if (hello.settings.size() != wanted.settings.size()) {
    return Mismatch("settings: got %d, wanted %d %s", hello.settings.size(), wanted.settings.size(), as);
  }
  for (const LimitField& field : kSameOnAllRanks) {
    if (hello.limits.*field.value == wanted.limits.*field.value) continue;
    return Mismatch("limits.%s: got %d, wanted %d %s", field.name, hello.limits.*field.value,
                    wanted.limits.*field.value, as);
  }
  return absl::OkStatus();
}

void Roster::OnHeartbeat(Slot slot, int64_t loading_done, int64_t loading_total, bool is_loaded) {
  Worker& worker = workers_.at(slot);
  if (!worker.hello.has_value()) return;
  worker.loading_done = loading_done;
  worker.loading_total = loading_total;
  worker.is_loaded = is_loaded;
}

bool Roster::SetError(Slot slot, const absl::Status& reason) {
  Worker& worker = workers_.at(slot);
  if (worker.has_failed) return false;
  worker.has_failed = true;
  return std::exchange(worker.error, reason) != reason;
}

void Roster::OnClosed(Slot slot) {
  Worker& worker = workers_.at(slot);
  TESSERA_CHECK(worker.is_called);
  worker.is_called = false;
  worker.hello.reset();
  worker.is_loaded = false;
  worker.loading_done = worker.loading_total = 0;
  worker.backoff_ticks = std::clamp(2 * worker.backoff_ticks, config_.retry_ticks_min, config_.retry_ticks_max);
  worker.ticks_to_call = worker.backoff_ticks;
  if (!worker.is_listed) workers_.erase(slot);
}

void Roster::Tick() {
  for (auto& [slot, worker] : workers_) worker.ticks_to_call = std::max(0, worker.ticks_to_call - 1);
}

int32_t Roster::num_loaded() const {
  return static_cast<int32_t>(
      std::count_if(workers_.begin(), workers_.end(), [](const auto& entry) { return entry.second.is_loaded; }));
}

bool Roster::IsComplete() const { return num_loaded() == config_.num_ranks; }  // each has another rank

std::vector<Roster::Slot> Roster::ByRank() const {
  TESSERA_CHECK(IsComplete());
  std::vector<Slot> slots(static_cast<size_t>(config_.num_ranks));
  for (const auto& [slot, worker] : workers_) {
    if (worker.is_loaded) slots[static_cast<size_t>(worker.hello->rank)] = slot;
  }
  return slots;
}

WorkerLimits Roster::Limits() const {
  TESSERA_CHECK(IsComplete());
  std::optional<WorkerLimits> limits;
  for (const auto& [slot, worker] : workers_) {
    if (!worker.is_loaded) continue;
    const int32_t num_blocks = worker.hello->limits.num_blocks;
    if (!limits.has_value()) limits = worker.hello->limits;
    limits->num_blocks = std::min(limits->num_blocks, num_blocks);
  }
  return *limits;
}

std::string Roster::ModelFingerprint() const {
  TESSERA_CHECK(IsComplete());
  const auto is_loaded = [](const auto& entry) { return entry.second.is_loaded; };
  return std::find_if(workers_.begin(), workers_.end(), is_loaded)->second.hello->model_fingerprint;
}

std::string Roster::Name(Slot slot) const {
  const auto entry = workers_.find(slot);
  if (entry == workers_.end()) return "a worker that has gone";
  const Worker& worker = entry->second;
  if (worker.hello.has_value()) return absl::StrFormat("rank %d at %s", worker.hello->rank, worker.address);
  if (worker.expected_rank) return absl::StrFormat("rank %d at %s", *worker.expected_rank, worker.address);
  return absl::StrFormat("worker at %s", worker.address);
}

std::string Roster::StateOf(const Worker& worker) const {
  if (!worker.hello.has_value()) {
    return worker.error.ok() ? "not reached yet" : std::string(worker.error.message());
  }
  if (worker.loading_total == 0) return "starts";
  return absl::StrFormat("loading, %d %%", 100 * worker.loading_done / worker.loading_total);
}

std::string Roster::Describe() const {
  std::vector<std::string> missing;
  for (const auto& [slot, worker] : workers_) {
    if (!worker.is_loaded) missing.push_back(Name(slot) + ": " + StateOf(worker));
  }
  if (!find_error_.ok()) missing.push_back(std::string(find_error_.message()));
  const auto num_known = static_cast<int32_t>(workers_.size());
  if (find_error_.ok() && num_known < config_.num_ranks) {
    missing.push_back(absl::StrFormat("%d of %d addresses are known", num_known, config_.num_ranks));
  }
  return absl::StrFormat("%d of %d workers have loaded; %s", num_loaded(), config_.num_ranks,
                         absl::StrJoin(missing, "; "));
}

}  // namespace tessera
