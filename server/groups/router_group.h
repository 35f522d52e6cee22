#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "scheduler/contract/engine_port.h"
#include "server/groups/prefix_index.h"

namespace tessera {

// What the router keeps of one group; also the sink of the group's port, so that the router knows who speaks. All but
// OnTokens is touched under the router's lock.
struct RouterGroup final : public TokenSink {
  using Hear = std::function<void(RouterGroup& group, TokenBatch batch)>;

  RouterGroup(std::string name_of_group, int64_t number_of_group, Hear hear_tokens)
      : name(std::move(name_of_group)), number(number_of_group), hear(std::move(hear_tokens)) {}
  void OnTokens(TokenBatch batch) override { hear(*this, std::move(batch)); }

  const std::string name;
  const int64_t number;  // never used again
  const Hear hear;
  std::unique_ptr<EnginePort> port;  // null only when it is left
  PrefixIndex prefixes{1 << 16};     // 4 million tokens
  bool is_named = true;              // it may get requests
  int64_t last_chosen = 0;
  int64_t num_open = 0;
  int64_t num_sent = 0;
  int64_t num_moved_away = 0;
};

}  // namespace tessera
