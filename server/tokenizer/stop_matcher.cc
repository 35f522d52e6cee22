#include "server/tokenizer/stop_matcher.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "server/tokenizer/utf8.h"

namespace tessera {

absl::StatusOr<std::shared_ptr<const StopStrings>> StopStrings::Create(std::vector<std::string> stops,
                                                                       const StopLimits& limits) {
  if (stops.size() > static_cast<size_t>(limits.count_max)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("stop: got %d entries, at most %d are accepted", stops.size(), limits.count_max));
  }
  size_t bytes = 0;
  for (size_t i = 0; i < stops.size(); ++i) {
    if (stops[i].empty()) return absl::InvalidArgumentError(absl::StrFormat("stop[%d]: is empty", i));
    if (ValidUtf8Prefix(stops[i]) != stops[i].size()) {
      return absl::InvalidArgumentError(absl::StrFormat("stop[%d]: is not valid UTF-8", i));
    }
    bytes += stops[i].size();
    if (bytes > static_cast<size_t>(limits.bytes_max)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("stop: all entries together may have at most %d bytes", limits.bytes_max));
    }
  }
  return std::shared_ptr<const StopStrings>(new StopStrings(std::move(stops)));
}

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)), nodes_(1) {
  for (size_t i = 0; i < stops_.size(); ++i) Insert(static_cast<int32_t>(i));
  Link();
}

int32_t StopStrings::Child(int32_t node, char byte) const {
  for (int32_t edge = nodes_[static_cast<size_t>(node)].first_edge; edge >= 0;) {
    const Edge& candidate = edges_[static_cast<size_t>(edge)];
    if (candidate.byte == byte) return candidate.node;
    edge = candidate.next;
  }
  return -1;
}

int32_t StopStrings::Step(int32_t node, char byte) const {
  while (true) {
    const int32_t child = Child(node, byte);
    if (child >= 0) return child;
    if (node == 0) return 0;
    node = nodes_[static_cast<size_t>(node)].fail;
  }
}

void StopStrings::Insert(int32_t stop_index) {
  int32_t node = 0;
  for (const char byte : stops_[static_cast<size_t>(stop_index)]) {
    int32_t child = Child(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(nodes_.size());
      Node fresh;
      fresh.depth = nodes_[static_cast<size_t>(node)].depth + 1;
      nodes_.push_back(fresh);
      edges_.push_back({byte, child, nodes_[static_cast<size_t>(node)].first_edge});
      nodes_[static_cast<size_t>(node)].first_edge = static_cast<int32_t>(edges_.size()) - 1;
    }
    node = child;
  }
  Node& last = nodes_[static_cast<size_t>(node)];
  if (last.stop < 0) last.stop = stop_index;  // of equal stops the first counts
}

// Breadth first, so that a node's suffix, which is shorter, is complete before it.
void StopStrings::Link() {
  std::vector<int32_t> queue = {0};
  for (size_t i = 0; i < queue.size(); ++i) {
    const int32_t parent = queue[i];
    for (int32_t edge = nodes_[static_cast<size_t>(parent)].first_edge; edge >= 0;) {
      const Edge& link = edges_[static_cast<size_t>(edge)];
      Node& node = nodes_[static_cast<size_t>(link.node)];
      node.fail = parent == 0 ? 0 : Step(nodes_[static_cast<size_t>(parent)].fail, link.byte);
      if (node.stop < 0) node.stop = nodes_[static_cast<size_t>(node.fail)].stop;
      queue.push_back(link.node);
      edge = link.next;
    }
  }
}

StopMatcher::StopMatcher(std::shared_ptr<const StopStrings> stops) : stops_(std::move(stops)) {}

bool StopMatcher::Push(std::string_view text, std::string& out) {
  if (match_.has_value()) return true;
  if (stops_ == nullptr || stops_->stops_.empty()) {
    out.append(text);
    released_ += static_cast<int64_t>(text.size());
    return false;
  }
  int64_t end = released_ + static_cast<int64_t>(held_.size());
  held_.append(text);
  for (const char byte : text) {
    ++end;
    node_ = stops_->Step(node_, byte);
    const StopStrings::Node& node = stops_->nodes_[static_cast<size_t>(node_)];
    if (node.stop >= 0) {
      const auto length = static_cast<int64_t>(stops_->stops_[static_cast<size_t>(node.stop)].size());
      if (!best_.has_value() || end - length < best_->offset) best_ = StopMatch{node.stop, end - length};
    }
    // What is still possible starts where the current state does, or later.
    if (best_.has_value() && end - node.depth >= best_->offset) return Decide(out);
  }
  if (best_.has_value()) return false;
  const int64_t possible = end - stops_->nodes_[static_cast<size_t>(node_)].depth;
  const auto safe = static_cast<size_t>(possible - released_);
  out.append(held_, 0, safe);
  held_.erase(0, safe);
  released_ = possible;
  return false;
}

bool StopMatcher::Flush(std::string& out) {
  if (match_.has_value()) return true;
  if (best_.has_value()) return Decide(out);
  out.append(held_);
  released_ += static_cast<int64_t>(held_.size());
  held_.clear();
  node_ = 0;
  return false;
}

bool StopMatcher::Decide(std::string& out) {
  out.append(held_, 0, static_cast<size_t>(best_->offset - released_));
  held_.clear();
  match_ = best_;
  return true;
}

}  // namespace tessera
