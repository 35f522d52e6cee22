#include <memory>
#include <random>

#include "base/check.h"
#include "benchmark/benchmark.h"
#include "scheduler/engine_for_test.h"
#include "scheduler/step_planner.h"

namespace tessera {
namespace {

constexpr int32_t kMaxTokens = 4096;

RankPolicy Policy(int32_t num_running) {
  return {.num_blocks = num_running * (kMaxTokens / 64 + 2),
          .block_tokens = 64,
          .step_tokens_max = 8192,
          .prefill_chunk_tokens_max = 8192,
          .running_max = 8192,
          .preemptions_max = 3};
}

struct Group {
  explicit Group(int32_t num_running)
      : planner(Policy(num_running), /*num_ranks=*/1,
                [this](RequestId id) -> OpenRequest& { return *requests[static_cast<size_t>(id.value)]; }) {
    for (int64_t id = 0; id < num_running; ++id) {
      requests.push_back(std::make_unique<OpenRequest>());
      OpenRequest& request = *requests.back();
      request.precedence = {.request = {id}};
      request.request = RequestOf(id, 1 + static_cast<int32_t>(id % 64), kMaxTokens);
      request.num_positions = static_cast<int64_t>(request.request.prompt.size()) + kMaxTokens - 1;
      planner.AddWaiting(request);
    }
    while (planner.has_waiting()) benchmark::DoNotOptimize(planner.Plan(step++, false));
  }
  std::vector<std::unique_ptr<OpenRequest>> requests;
  StepPlanner planner;
  int64_t step = 1;
};

// Plans one decode step of a rank; every 64th sequence needs a block.
void BM_PlanDecodeStep(benchmark::State& state) {
  auto group = std::make_unique<Group>(static_cast<int32_t>(state.range(0)));
  for (auto _ : state) {
    if (group->step > kMaxTokens - 64) {
      state.PauseTiming();
      group = std::make_unique<Group>(static_cast<int32_t>(state.range(0)));
      state.ResumeTiming();
    }
    std::optional<PlannedStep> planned = group->planner.Plan(group->step++, false);
    benchmark::DoNotOptimize(planned);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_PlanDecodeStep)->ArgName("running")->Arg(64)->Arg(512)->Arg(2048)->Unit(benchmark::kMicrosecond);

FakeWorkerOptions LargeGroup(int32_t num_running) {
  FakeWorkerOptions options;
  options.limits = {.num_ranks = 1,
                    .num_blocks = num_running * 70,
                    .block_tokens = 64,
                    .step_tokens_max = 8192,
                    .sequences_max = num_running,
                    .context_tokens_max = 4200,
                    .vocab_size = 1000};
  options.records_plans = false;
  return options;
}

class DiscardingSink final : public TokenSink {
 public:
  void OnTokens(TokenBatch batch) override { benchmark::DoNotOptimize(batch); }
};

// A whole step of the loop: plan, results, token batch. The fake worker's own work is part of it.
void BM_RunDecodeStep(benchmark::State& state) {
  const auto num_running = static_cast<int32_t>(state.range(0));
  FakeClock clock;
  FakeWorker worker(LargeGroup(num_running));
  DiscardingSink sink;
  EngineLoop loop({}, clock, worker, sink);
  int64_t next_id = 0;
  for (auto _ : state) {
    if (loop.Status().num_running == 0) {
      state.PauseTiming();
      while (loop.RunOneStep()) continue;
      for (int32_t i = 0; i < num_running; ++i) TESSERA_CHECK_OK(loop.Submit(RequestOf(next_id++, 30, 4000)));
      for (int i = 0; i < 20; ++i) loop.RunOneStep();
      state.ResumeTiming();
    }
    loop.RunOneStep();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_RunDecodeStep)->ArgName("running")->Arg(64)->Arg(2048)->Unit(benchmark::kMicrosecond);

// One request comes, one of those that wait is cancelled, one step runs beside `waiting` others.
void BM_SubmitAndCancel(benchmark::State& state) {
  FakeClock clock;
  FakeWorker worker(LargeGroup(/*num_running=*/1));
  DiscardingSink sink;
  EngineLoop loop({.queue_requests_max = 2'000'000}, clock, worker, sink);
  std::mt19937 random(7);
  std::vector<RequestId> waiting;
  int64_t next_id = 0;
  const auto submit = [&] {
    Request request = RequestOf(next_id++, 1, 4000);
    request.priority = static_cast<int32_t>(random() % 4);
    TESSERA_CHECK_OK(loop.Submit(request));
    return request.id;
  };
  for (int64_t i = 0; i < state.range(0); ++i) waiting.push_back(submit());
  loop.RunOneStep();
  for (auto _ : state) {
    RequestId& slot = waiting[random() % waiting.size()];
    loop.Cancel(slot);
    slot = submit();
    loop.RunOneStep();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_SubmitAndCancel)->ArgName("waiting")->Arg(1000)->Arg(100'000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tessera
