#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tessera {

struct StopLimits {
  int count_max = 16;
  int64_t bytes_max = 64 << 10;  // of all stops together; the automaton takes about 8 bytes per byte
};

// The stop strings of one request, compiled (Aho–Corasick). Immutable, shared by the request's n streams.
class StopStrings {
 public:
  // Refuses an empty stop, invalid UTF-8 and what exceeds the limits; errors name stop[i].
  static absl::StatusOr<std::shared_ptr<const StopStrings>> Create(std::vector<std::string> stops,
                                                                   const StopLimits& limits = {});

  const std::vector<std::string>& stops() const { return stops_; }

 private:
  friend class StopMatcher;
  struct Node {
    int32_t fail = 0;
    int32_t depth = 0;
    int32_t stop = -1;        // the longest stop that ends here, itself or by suffix links
    int32_t first_edge = -1;  // into edges_
  };
  struct Edge {
    char byte = 0;
    int32_t node = 0;
    int32_t next = -1;
  };

  explicit StopStrings(std::vector<std::string> stops);
  int32_t Child(int32_t node, char byte) const;
  int32_t Step(int32_t node, char byte) const;
  void Insert(int32_t stop_index);
  void Link();

  std::vector<std::string> stops_;
  std::vector<Node> nodes_;  // [0] is the root
  std::vector<Edge> edges_;
};

struct StopMatch {
  int stop_index = 0;
  int64_t offset = 0;  // of the match's first byte in all the text pushed
};

// Looks for the stops in one stream of text, whatever the cut. The earliest match wins: the one that starts first, and
// of those the one that ends first. Text is released as soon as no stop can begin in it; amortized O(1) per byte.
class StopMatcher {
 public:
  explicit StopMatcher(std::shared_ptr<const StopStrings> stops);  // null: no stops, releases everything at once

  // Appends to `out` the text now known to lie before any stop. Returns true once a stop has matched; what follows the
  // match is dropped, and later calls release nothing.
  bool Push(std::string_view text, std::string& out);

  // The stream has ended: releases what was held back. Returns true if a match was decided only now.
  bool Flush(std::string& out);

  const std::optional<StopMatch>& match() const { return match_; }

 private:
  bool Decide(std::string& out);

  std::shared_ptr<const StopStrings> stops_;
  std::string held_;                // text not released: a prefix of some stop
  int64_t released_ = 0;            // bytes given out
  int32_t node_ = 0;                // state of the automaton after held_
  std::optional<StopMatch> best_;   // matched, but a stop that started earlier is still possible
  std::optional<StopMatch> match_;  // final
};

}  // namespace tessera
