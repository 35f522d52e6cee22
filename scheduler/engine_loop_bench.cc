#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <vector>

#include "base/check.h"
#include "benchmark/benchmark.h"
#include "scheduler/engine_for_test.h"
#include "scheduler/step_planner.h"

namespace tessera {
namespace {

constexpr int32_t kMaxTokens = 4096;

struct Shape {
  int32_t num_decoding = 0;
  int32_t num_prefilling = 0;
  int32_t draft_tokens = 0;
};

// Chunks of 16 tokens of prompts that take as many steps as an answer.
constexpr int32_t kChunkTokens = 16;
constexpr int32_t kSteps = 1024;
constexpr int32_t kBlockTokens = 64;

RankPolicy Policy(const Shape& shape) {
  const int32_t decode_blocks = kMaxTokens / kBlockTokens + 2;
  const int32_t prefill_blocks = (kChunkTokens * kSteps + kMaxTokens) / kBlockTokens + 2;
  return {.num_blocks = shape.num_decoding * decode_blocks + shape.num_prefilling * prefill_blocks,
          .block_tokens = kBlockTokens,
          .step_tokens_max = 16'384,
          .prefill_chunk_tokens_max = kChunkTokens,
          .running_max = 8192,
          .preemptions_max = 3,
          .block_keys = BlockKeyOptions{.block_tokens = kBlockTokens}};
}

// Sequences of one rank in the middle of their work.
class Group {
 public:
  explicit Group(const Shape& shape)
      : shape_(shape), planner_(Policy(shape), /*num_ranks=*/1, [this](RequestId id) -> OpenRequest& {
          return *requests_[static_cast<size_t>(id.value)];
        }) {
    for (int64_t id = 0; id < shape.num_decoding; ++id) Add(1 + static_cast<int32_t>(id % kChunkTokens));
    while (planner_.has_waiting()) PlanAndReceive();
    for (int64_t id = 0; id < shape.num_prefilling; ++id) Add(kChunkTokens * kSteps);
    while (planner_.has_waiting()) PlanAndReceive();
  }

  bool is_near_its_end() const { return step_ > kSteps / 2; }

  // One step; only planning it is timed. Every second draft is accepted.
  double PlanAndReceive() {
    const auto start = std::chrono::steady_clock::now();
    std::optional<PlannedStep> planned = planner_.Plan(step_, shape_.draft_tokens, false);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    benchmark::DoNotOptimize(planned);
    for (const auto& request : requests_) {
      int32_t& drafts = request->drafts_of_step(step_);
      request->num_planned += drafts > 0 ? step_ % 2 : 0;
      drafts = 0;
    }
    ++step_;
    return seconds.count();
  }

 private:
  void Add(int32_t num_prompt) {
    const auto id = static_cast<int64_t>(requests_.size());
    requests_.push_back(std::make_unique<OpenRequest>());
    OpenRequest& request = *requests_.back();
    request.precedence = {.request = {id}};
    request.request = RequestOf(id, num_prompt, kMaxTokens);
    request.num_positions = int64_t{num_prompt} + kMaxTokens - 1;
    planner_.AddWaiting(request);
  }

  const Shape shape_;
  std::vector<std::unique_ptr<OpenRequest>> requests_;
  StepPlanner planner_;
  int64_t step_ = 1;
};

// Plans one step of a rank in which all sequences decode but those that prefill.
void BM_PlanStep(benchmark::State& state) {
  const auto num_running = static_cast<int32_t>(state.range(0));
  const auto num_prefilling = num_running * static_cast<int32_t>(state.range(1)) / 100;
  const Shape shape = {num_running - num_prefilling, num_prefilling, static_cast<int32_t>(state.range(2))};
  auto group = std::make_unique<Group>(shape);
  std::vector<double> seconds;
  for (auto _ : state) {
    if (group->is_near_its_end()) group = std::make_unique<Group>(shape);
    seconds.push_back(group->PlanAndReceive());
    state.SetIterationTime(seconds.back());
  }
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  state.counters["median_us"] = *middle * 1e6;
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_PlanStep)
    ->ArgNames({"running", "prefill_percent", "drafts"})
    ->Args({64, 0, 0})
    ->Args({2048, 0, 0})
    ->Args({2048, 10, 0})
    ->Args({2048, 10, 1})
    ->Args({2048, 10, 4})
    ->UseManualTime()
    ->Iterations(400)
    ->Unit(benchmark::kMicrosecond);

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
  options.tracks_contents = false;
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
