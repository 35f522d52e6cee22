#include "benchmark/benchmark.h"
#include "scheduler/simulation/simulation.h"
#include "scheduler/simulation/trace_generator.h"

namespace tessera {
namespace {

// A whole simulation of so many requests at about 80 % of what the groups can do.
void BM_Simulate(benchmark::State& state) {
  const CostPreset& preset = *FindCostPreset("h100");
  SimulationConfig config;
  config.num_groups = 4;
  config.worker = {.limits = preset.limits, .cost = preset.cost};
  const Trace trace = GenerateTrace({.num_requests = static_cast<int32_t>(state.range(0)), .requests_per_second = 20});
  for (auto _ : state) benchmark::DoNotOptimize(Simulate(config, trace));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Simulate)->ArgName("requests")->Arg(1000)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tessera
