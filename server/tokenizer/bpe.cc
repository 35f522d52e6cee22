#include "server/tokenizer/bpe.h"

#include <algorithm>

namespace tessera {
namespace {

constexpr int32_t kNone = -1;

uint64_t PairKey(TokenId left, TokenId right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

// For a heap whose front is the candidate to apply next.
bool ComesLater(const Bpe::Scratch::Candidate& a, const Bpe::Scratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

bool Bpe::AddMerge(TokenId left, TokenId right, Merge merge) {
  return merges_.emplace(PairKey(left, right), merge).second;
}

void Bpe::PushCandidate(int32_t position, Scratch& scratch) const {
  const Scratch::Symbol& left = scratch.symbols[static_cast<size_t>(position)];
  if (left.next == kNone) return;
  const TokenId right = scratch.symbols[static_cast<size_t>(left.next)].id;
  const auto merge = merges_.find(PairKey(left.id, right));
  if (merge == merges_.end()) return;
  scratch.heap.push_back({merge->second.rank, position, left.id, right});
}

void Bpe::Encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  const auto size = static_cast<int32_t>(piece.size());
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.clear();
  heap.clear();
  for (int32_t i = 0; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(piece[static_cast<size_t>(i)]);
    symbols.push_back({byte_ids_[byte], i - 1, i + 1 == size ? kNone : i + 1});
  }
  for (int32_t i = 0; i + 1 < size; ++i) PushCandidate(i, scratch);
  std::make_heap(heap.begin(), heap.end(), ComesLater);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), ComesLater);
    const Scratch::Candidate best = heap.back();
    heap.pop_back();
    Scratch::Symbol& left = symbols[static_cast<size_t>(best.position)];
    if (left.id != best.left || left.next == kNone) continue;
    Scratch::Symbol& right = symbols[static_cast<size_t>(left.next)];
    if (right.id != best.right) continue;

    left.id = merges_.find(PairKey(best.left, best.right))->second.product;
    right.id = kMerged;
    left.next = right.next;
    if (left.next != kNone) symbols[static_cast<size_t>(left.next)].previous = best.position;
    for (const int32_t position : {best.position, left.previous}) {
      if (position == kNone) continue;
      const size_t before = heap.size();
      PushCandidate(position, scratch);
      if (heap.size() > before) std::push_heap(heap.begin(), heap.end(), ComesLater);
    }
  }
  for (int32_t i = size == 0 ? kNone : 0; i != kNone; i = symbols[static_cast<size_t>(i)].next) {
    out.push_back(symbols[static_cast<size_t>(i)].id);
  }
}

}  // namespace tessera
