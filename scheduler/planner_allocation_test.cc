// Planning a step allocates for the plan and never for each running sequence: counted by a global operator new.

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/step_planner.h"

namespace {
std::atomic<int64_t> num_allocations = 0;
}  // namespace

void* operator new(size_t size) {
  ++num_allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace tessera {
namespace {

constexpr int32_t kBlockTokens = 64;

int64_t AllocationsOfAStep(int64_t num_running, int32_t draft_tokens) {
  std::vector<std::unique_ptr<OpenRequest>> requests;
  StepPlanner planner({.num_blocks = 8192,
                       .block_tokens = kBlockTokens,
                       .step_tokens_max = 16'384,
                       .prefill_chunk_tokens_max = 2,
                       .running_max = 4096,
                       .preemptions_max = 3,
                       .block_keys = BlockKeyOptions{.block_tokens = kBlockTokens}},
                      /*num_ranks=*/1,
                      [&](RequestId id) -> OpenRequest& { return *requests[static_cast<size_t>(id.value)]; });
  for (int64_t id = 0; id < num_running; ++id) {
    requests.push_back(std::make_unique<OpenRequest>());
    OpenRequest& request = *requests.back();
    request.precedence = {.request = {id}};
    const size_t num_prompt = id % 10 == 0 ? 60 : 1;  // one in ten is in prefill
    request.request = {
        .id = {id}, .prompt = std::vector<TokenId>(num_prompt, static_cast<TokenId>(id)), .max_tokens = 99};
    request.num_positions = static_cast<int64_t>(num_prompt) + 98;
    planner.AddWaiting(request);
  }
  int64_t counted = 0;
  for (int64_t step = 1; step <= 8; ++step) {  // none needs a new block yet
    const int64_t before = num_allocations;
    const std::optional<PlannedStep> planned = planner.Plan(step, draft_tokens, false);
    counted = num_allocations - before;
    for (const auto& request : requests) request->drafts_of_step(step) = 0;
  }
  return counted;
}

TEST(PlannerAllocationTest, PlansAStepWithoutAnAllocationPerSequence) {
  for (const int32_t draft_tokens : {0, 3}) {
    EXPECT_EQ(AllocationsOfAStep(1000, draft_tokens), AllocationsOfAStep(10, draft_tokens));
    EXPECT_LE(AllocationsOfAStep(10, draft_tokens), 8);
  }
}

}  // namespace
}  // namespace tessera
