#include "scheduler/simulation/group_choice.h"

#include <algorithm>

#include "base/check.h"

namespace tessera {
namespace {

constexpr size_t kRecentMax = 4096;          // prefixes remembered of a group
constexpr double kLoadRatioMax = 1.5;        // a group with the prefix may have so much more on hand …
constexpr int64_t kLoadSlackTokens = 16384;  // … and so many tokens more

}  // namespace

std::optional<GroupPolicy> ParseGroupPolicy(std::string_view name) {
  if (name == "round-robin") return GroupPolicy::kRoundRobin;
  if (name == "least-load") return GroupPolicy::kLeastLoad;
  if (name == "prefix") return GroupPolicy::kPrefix;
  return std::nullopt;
}

GroupChoice::GroupChoice(GroupPolicy policy, int32_t num_groups)
    : policy_(policy), load_(static_cast<size_t>(num_groups)), recent_(static_cast<size_t>(num_groups)) {
  TESSERA_CHECK(num_groups > 0);
}

int32_t GroupChoice::Choose(int64_t prefix) {
  int32_t group = 0;
  if (policy_ == GroupPolicy::kRoundRobin) {
    group = next_;
    next_ = (next_ + 1) % static_cast<int32_t>(load_.size());
  } else {
    group = policy_ == GroupPolicy::kPrefix && prefix >= 0 ? WithPrefix(prefix) : LeastLoaded();
  }
  if (prefix >= 0) Remember(group, prefix);
  return group;
}

int32_t GroupChoice::LeastLoaded() const {
  return static_cast<int32_t>(std::min_element(load_.begin(), load_.end()) - load_.begin());
}

int32_t GroupChoice::WithPrefix(int64_t prefix) const {
  const int32_t least = LeastLoaded();
  const auto bound =
      static_cast<int64_t>(static_cast<double>(load_[static_cast<size_t>(least)]) * kLoadRatioMax) + kLoadSlackTokens;
  int32_t best = -1;
  for (size_t i = 0; i < load_.size(); ++i) {
    if (!recent_[i].places.contains(prefix) || load_[i] > bound) continue;
    if (best < 0 || load_[i] < load_[static_cast<size_t>(best)]) best = static_cast<int32_t>(i);
  }
  return best < 0 ? least : best;
}

void GroupChoice::Remember(int32_t group, int64_t prefix) {
  Recent& recent = recent_[static_cast<size_t>(group)];
  if (const auto found = recent.places.find(prefix); found != recent.places.end()) {
    recent.order.splice(recent.order.begin(), recent.order, found->second);
    return;
  }
  recent.order.push_front(prefix);
  recent.places[prefix] = recent.order.begin();
  if (recent.order.size() <= kRecentMax) return;
  recent.places.erase(recent.order.back());
  recent.order.pop_back();
}

}  // namespace tessera
