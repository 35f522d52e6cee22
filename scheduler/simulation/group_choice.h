#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace tessera {

enum class GroupPolicy {
  kRoundRobin,
  kLeastLoad,  // fewest tokens on hand
  kPrefix,     // one that has the prompt's prefix, unless it has far more on hand than the least loaded
};

std::optional<GroupPolicy> ParseGroupPolicy(std::string_view name);  // round-robin, least-load, prefix

// Chooses the group of each new request, as servers do: by what they sent to each group and got back.
class GroupChoice {
 public:
  GroupChoice(GroupPolicy policy, int32_t num_groups);

  // `prefix` −1: the prompt has none.
  int32_t Choose(int64_t prefix);

  // The group has so many tokens more (or less) on hand: prompts of open requests and tokens they were given.
  void AddLoad(int32_t group, int64_t num_tokens) { load_[static_cast<size_t>(group)] += num_tokens; }

 private:
  // What a group is likely to have cached: the prefixes that were sent to it last.
  struct Recent {
    std::list<int64_t> order;  // latest first
    absl::flat_hash_map<int64_t, std::list<int64_t>::iterator> places;
  };

  int32_t LeastLoaded() const;
  int32_t WithPrefix(int64_t prefix) const;
  void Remember(int32_t group, int64_t prefix);

  const GroupPolicy policy_;
  std::vector<int64_t> load_;   // [groups]
  std::vector<Recent> recent_;  // [groups]
  int32_t next_ = 0;            // round robin
};

}  // namespace tessera
