#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"

namespace tessera {

// Finds added tokens in text. Each search step costs at most the length of the longest token.
class AddedTokens {
 public:
  struct Match {
    size_t offset = 0;
    size_t length = 0;
    TokenId id = 0;
  };

  AddedTokens();

  // False (and no change) if there is a token with this content. Requires: content is not empty.
  bool Add(std::string_view content, TokenId id);

  // The leftmost match at or after `from`; of those that start there, the longest.
  std::optional<Match> FindFirst(std::string_view text, size_t from) const;

  // The token with exactly this content.
  std::optional<TokenId> Find(std::string_view content) const;

 private:
  static constexpr TokenId kNoToken = -1;

  std::vector<TokenId> nodes_;                     // of the trie; the token that ends there
  absl::flat_hash_map<uint64_t, uint32_t> edges_;  // node << 8 | byte → node
};

}  // namespace tessera
