#pragma once

// For the tests of this folder: an engine loop on a fake clock and a fake worker group, stepped by hand.

#include <utility>
#include <vector>

#include "base/check.h"
#include "base/fake_clock.h"
#include "scheduler/engine_loop.h"
#include "scheduler/testing/fake_worker.h"
#include "scheduler/testing/recording_sink.h"

namespace tessera {

struct EngineForTest {
  explicit EngineForTest(FakeWorkerOptions options = {}, const EngineConfig& config = {})
      : worker(std::move(options)), loop(config, clock, worker, sink) {}

  // Steps until nothing is left to do; aborts when that takes more than `steps_max`.
  void RunUntilIdle(int64_t steps_max = 100'000) {
    for (int64_t i = 0; loop.RunOneStep(); ++i) TESSERA_CHECK(i < steps_max);
  }

  // True when neither the loop, nor its status, nor the workers hold anything of any request.
  bool HoldsNothing() const {
    const EngineStatus status = loop.Status();
    bool is_empty = status.num_running == 0 && status.num_waiting == 0 && status.num_waiting_tokens == 0 &&
                    status.num_blocks_used == 0;
    for (size_t rank = 0; rank < static_cast<size_t>(worker.limits().num_ranks); ++rank) {
      is_empty = is_empty && worker.num_sequences(rank) == 0 && worker.num_blocks_owned(rank) == 0;
    }
    return is_empty;
  }

  // The tokens of rank `rank`'s slices of a step, in order.
  std::vector<int32_t> SliceTokens(int64_t step, size_t rank = 0) const {
    std::vector<int32_t> tokens;
    for (const Slice& slice : worker.plans().at(static_cast<size_t>(step - 1)).at(rank).slices) {
      tokens.push_back(slice.num_tokens);
    }
    return tokens;
  }

  FakeClock clock;
  FakeWorker worker;
  RecordingSink sink;
  EngineLoop loop;
};

// A request of `num_prompt` tokens that differ from those of other ids.
inline Request RequestOf(int64_t id, int32_t num_prompt, int32_t max_tokens) {
  Request request{.id = {id}, .max_tokens = max_tokens};
  for (int32_t i = 0; i < num_prompt; ++i) {
    request.prompt.push_back(static_cast<TokenId>((id * 31 + i * 7) % 1000));
  }
  return request;
}

}  // namespace tessera
