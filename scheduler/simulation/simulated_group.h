#pragma once

#include <utility>
#include <vector>

#include "base/fake_clock.h"
#include "scheduler/engine_loop.h"
#include "scheduler/simulation/simulated_worker.h"

namespace tessera {

// One group of a simulation: an engine loop, its workers and its clock, which runs ahead of the other groups' by a step
// at most. What a step brings is kept until the simulation has come to the step's end.
class SimulatedGroup final : public TokenSink {
 public:
  SimulatedGroup(const SimulatedWorkerConfig& worker, const EngineConfig& engine)
      : worker_(worker, clock_), loop_(engine, clock_, worker_, *this) {}

  void OnTokens(TokenBatch batch) override {
    for (RequestTokens& brought : batch.requests) brought_.push_back(std::move(brought));
  }

  // A group without work sleeps until something comes.
  void AdvanceTo(absl::Time time) {
    if (time > now()) clock_.Advance(time - now());
  }

  // One turn of the loop; now() is its end. Returns whether it has to be called again at now().
  bool Step() { return loop_.RunOneStep() || !brought_.empty(); }

  std::vector<RequestTokens> TakeBrought() { return std::exchange(brought_, {}); }

  absl::Time now() const { return clock_.Now(); }
  EngineLoop& loop() { return loop_; }
  const SimulatedWorker& worker() const { return worker_; }

 private:
  FakeClock clock_;
  SimulatedWorker worker_;
  EngineLoop loop_;
  std::vector<RequestTokens> brought_;
};

}  // namespace tessera
