#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"

namespace tessera {

// The merges of a byte-level BPE. Immutable and thread-safe; each caller brings its own Scratch.
class Bpe {
 public:
  struct Merge {
    int32_t rank = 0;  // lower first
    TokenId product = 0;
  };
  // Work space, kept between calls so that a word allocates nothing.
  struct Scratch {
    struct Symbol {
      TokenId id = 0;  // kMerged: absorbed by its left neighbour
      int32_t previous = 0;
      int32_t next = 0;
    };
    struct Candidate {
      int32_t rank = 0;
      int32_t position = 0;  // of the left symbol
      TokenId left = 0;      // the ids when it was found: a candidate is stale if they have changed
      TokenId right = 0;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  explicit Bpe(const std::array<TokenId, 256>& byte_ids) : byte_ids_(byte_ids) {}

  // False (and no change) if the pair already has a merge.
  bool AddMerge(TokenId left, TokenId right, Merge merge);

  // Appends the tokens of one piece: starting from single bytes, the adjacent pair of lowest rank, and of those the
  // leftmost, is merged until no pair has a rank. O(n log n). Requires: piece.size() < 2^31.
  void Encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;

 private:
  static constexpr TokenId kMerged = -1;
  void PushCandidate(int32_t position, Scratch& scratch) const;

  std::array<TokenId, 256> byte_ids_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by PairKey
};

}  // namespace tessera
