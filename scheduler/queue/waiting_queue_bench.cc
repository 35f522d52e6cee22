#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "scheduler/queue/waiting_queue.h"

namespace tessera {
namespace {

WaitingRequest Random(std::mt19937& random, int64_t id, int64_t num_clients) {
  return {{.priority = static_cast<int32_t>(random() % 4),
           .arrival = absl::FromUnixMicros(static_cast<int64_t>(random())),
           .request = {id}},
          random() % static_cast<uint64_t>(num_clients),
          static_cast<int64_t>(1 + random() % 1000)};
}

struct FilledQueue {
  FilledQueue(int64_t num_waiting, int64_t num_clients) {
    for (int64_t id = 0; id < num_waiting; ++id) waiting.push_back(Random(random, id, num_clients));
    for (const WaitingRequest& one : waiting) queue.Add(one);
  }
  std::mt19937 random{7};
  std::vector<WaitingRequest> waiting;
  WaitingQueue queue;
};

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"waiting", "clients"});
  for (const int64_t waiting : {1000, 100'000}) {
    for (const int64_t clients : {1, 1000, 100'000}) benchmark->Args({waiting, clients});
  }
}

// One request comes and one is cancelled somewhere in the middle, with `waiting` others in the queue.
void BM_AddAndCancel(benchmark::State& state) {
  FilledQueue filled(state.range(0), state.range(1));
  int64_t next_id = state.range(0);
  for (auto _ : state) {
    WaitingRequest& slot = filled.waiting[filled.random() % filled.waiting.size()];
    filled.queue.Remove(slot);
    slot = Random(filled.random, next_id++, state.range(1));
    filled.queue.Add(slot);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_AddAndCancel)->Apply(Sizes);

// One request starts and one comes; sixteen clients are charged a token.
void BM_StartAddAndCharge(benchmark::State& state) {
  FilledQueue filled(state.range(0), state.range(1));
  int64_t next_id = state.range(0);
  for (auto _ : state) {
    benchmark::DoNotOptimize(filled.queue.StartFront());
    filled.queue.Add(Random(filled.random, next_id++, state.range(1)));
    for (int i = 0; i < 16; ++i) {
      filled.queue.Charge(i % 4, filled.random() % static_cast<uint64_t>(state.range(1)), 1);
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_StartAddAndCharge)->Apply(Sizes);

}  // namespace
}  // namespace tessera
