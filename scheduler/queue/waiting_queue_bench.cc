#include <random>

#include "benchmark/benchmark.h"
#include "scheduler/queue/waiting_queue.h"

namespace tessera {
namespace {

Precedence Random(std::mt19937& random, int64_t id) {
  return {static_cast<int32_t>(random() % 4), absl::FromUnixMicros(static_cast<int64_t>(random())), {id}};
}

// One request comes and one is cancelled somewhere in the middle, with `waiting` others in the queue.
void BM_AddAndCancel(benchmark::State& state) {
  std::mt19937 random(7);
  WaitingQueue queue;
  std::vector<Precedence> waiting;
  for (int64_t id = 0; id < state.range(0); ++id) waiting.push_back(Random(random, id));
  for (const Precedence& one : waiting) queue.Add(one);
  int64_t next_id = state.range(0);
  for (auto _ : state) {
    Precedence& slot = waiting[random() % waiting.size()];
    queue.Remove(slot);
    slot = Random(random, next_id++);
    queue.Add(slot);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_AddAndCancel)->ArgName("waiting")->Arg(1000)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace tessera
