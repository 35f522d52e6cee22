#include <numeric>

#include "benchmark/benchmark.h"
#include "scheduler/cache/prefix_cache.h"

namespace tessera {
namespace {

std::vector<TokenId> Prompt(int64_t num_tokens) {
  std::vector<TokenId> tokens(static_cast<size_t>(num_tokens));
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

// The keys of one prompt: once per request.
void BM_BlockKeys(benchmark::State& state) {
  const std::vector<TokenId> tokens = Prompt(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(BlockKeys(tokens, {.block_tokens = 64}));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_BlockKeys)->ArgName("tokens")->Arg(1024)->Arg(131'072)->Unit(benchmark::kMicrosecond);

// Finds a whole prompt in a full cache: once per start and rank.
void BM_Find(benchmark::State& state) {
  const std::vector<TokenId> tokens = Prompt(state.range(0));
  const std::vector<BlockKey> keys = BlockKeys(tokens, {.block_tokens = 64});
  const auto num_blocks = static_cast<int32_t>(keys.size());
  PrefixCache cache(num_blocks, 64);
  std::vector<BlockId> table;
  if (!cache.TryAllocate(num_blocks, table)) state.SkipWithError("no room");
  cache.Register({tokens, keys}, {}, num_blocks, table);
  for (auto _ : state) benchmark::DoNotOptimize(cache.Find({tokens, keys}, num_blocks));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Find)->ArgName("tokens")->Arg(1024)->Arg(131'072)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tessera
