#include "server/tokenizer/added_tokens.h"

#include <cstdint>

namespace tessera {
namespace {

uint64_t EdgeKey(uint32_t node, char byte) { return (static_cast<uint64_t>(node) << 8) | static_cast<uint8_t>(byte); }

}  // namespace

AddedTokens::AddedTokens() : nodes_(1, kNoToken) {}

bool AddedTokens::Add(std::string_view content, TokenId id) {
  uint32_t node = 0;
  for (const char byte : content) {
    const auto [edge, is_new] = edges_.emplace(EdgeKey(node, byte), static_cast<uint32_t>(nodes_.size()));
    if (is_new) nodes_.push_back(kNoToken);
    node = edge->second;
  }
  if (nodes_[node] != kNoToken) return false;
  nodes_[node] = id;
  return true;
}

std::optional<AddedTokens::Match> AddedTokens::FindFirst(std::string_view text, size_t from) const {
  for (size_t start = from; start < text.size(); ++start) {
    Match match;
    uint32_t node = 0;
    for (size_t end = start; end < text.size(); ++end) {
      const auto edge = edges_.find(EdgeKey(node, text[end]));
      if (edge == edges_.end()) break;
      node = edge->second;
      if (nodes_[node] != kNoToken) match = {start, end + 1 - start, nodes_[node]};
    }
    if (match.length > 0) return match;
  }
  return std::nullopt;
}

std::optional<TokenId> AddedTokens::Find(std::string_view content) const {
  uint32_t node = 0;
  for (const char byte : content) {
    const auto edge = edges_.find(EdgeKey(node, byte));
    if (edge == edges_.end()) return std::nullopt;
    node = edge->second;
  }
  if (nodes_[node] == kNoToken) return std::nullopt;
  return nodes_[node];
}

}  // namespace tessera
