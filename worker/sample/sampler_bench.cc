#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "worker/sample/sampler.h"

namespace tessera {
namespace {

std::vector<float> RandomLogits(float spread) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(129'280);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

// One token of a vocabulary of DeepSeek-V3's size. Spread 3 is like a model's row; 0.1 is nearly flat, the worst case.
void Run(benchmark::State& state, const SamplingParams& params, float spread) {
  const std::vector<float> logits = RandomLogits(spread);
  Sampler sampler(129'280, 128'815);
  int64_t position = 0;
  for (auto _ : state) benchmark::DoNotOptimize(sampler.Sample(logits, {.params = &params, .position = position++}));
}

void BM_Greedy(benchmark::State& state) { Run(state, {.temperature = 0}, 3); }
void BM_Draw(benchmark::State& state) { Run(state, {}, 3); }
void BM_TopP(benchmark::State& state) { Run(state, {.temperature = 0.6F, .top_p = 0.95F}, 3); }
void BM_TopPFlat(benchmark::State& state) { Run(state, {.top_p = 0.95F}, 0.1F); }
void BM_TopK(benchmark::State& state) { Run(state, {.top_k = 50}, 3); }
BENCHMARK(BM_Greedy);
BENCHMARK(BM_Draw);
BENCHMARK(BM_TopP);
BENCHMARK(BM_TopPFlat);
BENCHMARK(BM_TopK);

}  // namespace
}  // namespace tessera
