#include "scheduler/cache/prefix_cache.h"

#include <algorithm>

#include "base/check.h"

namespace tessera {

PrefixCache::PrefixCache(int32_t num_blocks, int32_t block_tokens) : block_tokens_(block_tokens), blocks_(num_blocks) {
  TESSERA_CHECK(block_tokens > 0);
  entries_.resize(static_cast<size_t>(num_blocks));
  tokens_.resize(static_cast<size_t>(num_blocks) * static_cast<size_t>(block_tokens));
}

bool PrefixCache::TryAllocate(int32_t count, std::vector<BlockId>& block_table) {
  const size_t num_before = block_table.size();
  if (!blocks_.TryAllocate(count, block_table)) return false;
  for (size_t i = num_before; i < block_table.size(); ++i) {
    if (EntryOf(block_table[i]).registration != 0) Unregister(block_table[i]);
  }
  return true;
}

PrefixCache::Match PrefixCache::Find(const PrefixQuery& query, int32_t num_blocks_max) const {
  Match match;
  while (match.position.num_blocks < num_blocks_max) {
    BlockId block = -1;
    const Answer answer = LookUp(query, match.position, block);
    match.has_collided = answer == Answer::kCollision;
    if (answer != Answer::kFound) break;
    if (!blocks_.IsReferenced(block)) ++match.num_unreferenced;
    match.position = {match.position.num_blocks + 1, block, EntryOf(block).registration};
  }
  return match;
}

PrefixCache::Match PrefixCache::Share(const PrefixQuery& query, int32_t num_blocks_max,
                                      std::vector<BlockId>& block_table) {
  const Match match = Find(query, num_blocks_max);
  const size_t num_before = block_table.size();
  block_table.resize(num_before + static_cast<size_t>(match.position.num_blocks));
  BlockId block = match.position.block;
  for (size_t i = block_table.size(); i > num_before; --i) {  // from the last back along the parents
    blocks_.AddReference(block);
    block_table[i - 1] = block;
    block = EntryOf(block).parent;
  }
  return match;
}

PrefixPosition PrefixCache::Register(const PrefixQuery& query, PrefixPosition position, int32_t num_blocks,
                                     std::span<const BlockId> block_table) {
  TESSERA_CHECK(static_cast<size_t>(num_blocks) <= std::min(query.keys.size(), block_table.size()));
  if (!IsKnown(position)) return position;
  while (position.num_blocks < num_blocks) {
    BlockId block = -1;
    switch (LookUp(query, position, block)) {
      case Answer::kCollision:
        return position;
      case Answer::kOrphan:
        Unregister(block);
        [[fallthrough]];
      case Answer::kUnknown:
        block = block_table[static_cast<size_t>(position.num_blocks)];
        Remember(query, position, block);
        break;
      case Answer::kFound:  // computed twice at the same time: the first stays
        break;
    }
    position = {position.num_blocks + 1, block, EntryOf(block).registration};
  }
  return position;
}

void PrefixCache::Forget(const PrefixQuery& query) {
  PrefixPosition position = Find(query, static_cast<int32_t>(query.keys.size())).position;
  while (position.num_blocks > 0) {
    const Entry entry = EntryOf(position.block);
    Unregister(position.block);
    position = {position.num_blocks - 1, entry.parent, entry.parent_registration};
  }
}

bool PrefixCache::IsKnown(const PrefixPosition& position) const {
  return position.num_blocks == 0 || EntryOf(position.block).registration == position.registration;
}

std::span<const TokenId> PrefixCache::TokensOf(const PrefixQuery& query, int32_t index) const {
  return query.tokens.subspan(static_cast<size_t>(index) * static_cast<size_t>(block_tokens_),
                              static_cast<size_t>(block_tokens_));
}

PrefixCache::Answer PrefixCache::LookUp(const PrefixQuery& query, const PrefixPosition& after, BlockId& block) const {
  const auto index = static_cast<size_t>(after.num_blocks);
  if (index >= query.keys.size()) return Answer::kUnknown;
  const auto found = index_.find(query.keys[index]);
  if (found == index_.end()) return Answer::kUnknown;
  block = found->second;
  const Entry& entry = EntryOf(block);
  const std::span<const TokenId> wanted = TokensOf(query, after.num_blocks);
  const auto known = tokens_.begin() + static_cast<std::ptrdiff_t>(block) * block_tokens_;
  if (entry.parent_registration == after.registration && std::equal(wanted.begin(), wanted.end(), known)) {
    return Answer::kFound;
  }
  const bool has_parent =
      entry.parent_registration == 0 || EntryOf(entry.parent).registration == entry.parent_registration;
  return has_parent ? Answer::kCollision : Answer::kOrphan;
}

void PrefixCache::Remember(const PrefixQuery& query, const PrefixPosition& after, BlockId block) {
  Entry& entry = EntryOf(block);
  TESSERA_CHECK(entry.registration == 0);
  entry = {.registration = ++last_registration_,
           .parent_registration = after.registration,
           .parent = after.block,
           .key = query.keys[static_cast<size_t>(after.num_blocks)]};
  index_.emplace(entry.key, block);
  const std::span<const TokenId> tokens = TokensOf(query, after.num_blocks);
  std::copy(tokens.begin(), tokens.end(), tokens_.begin() + static_cast<std::ptrdiff_t>(block) * block_tokens_);
  blocks_.Keep(block, true);
}

void PrefixCache::Unregister(BlockId block) {
  Entry& entry = EntryOf(block);
  index_.erase(entry.key);
  entry = {};
  blocks_.Keep(block, false);
}

}  // namespace tessera
