#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/exchange/expert_exchange.h"
#include "worker/model/weight_loader.h"
#include "worker/model/weights.h"
#include "worker/placement/expert_load.h"

namespace tessera {

struct RebalanceOptions {
  int64_t interval_steps = 0;          // how often the load is looked at; 0: never
  double gain_min = 0.05;              // of balancedness (mean / largest load of a rank) that is worth moving weights
  double weight_of_new_load = 0.5;     // of the last interval in the moving average
  int32_t num_nodes = 1;               // hosts of the group
  int64_t steps_between_meetings = 8;  // how often ranks tell each other whether they are ready to switch
};

// Moves routed experts between the ranks' slots while serving: between steps, on the rank's thread, a layer at a time.
// All ranks see the same load, so each computes the same plan; each loads what it lacks from the checkpoint, one expert
// a step; when all have a layer's experts, all switch its weights and map before the same step. Results do not change.
class ExpertRebalancer {
 public:
  // All outlive it. `load`: the counts of this rank's tokens, cleared at each interval.
  ExpertRebalancer(const RebalanceOptions& options, const Checkpoint& checkpoint, const LoadOptions& load_options,
                   Backend& backend, ModelWeights& weights, ExpertLoad& load, ExpertExchange& exchange);

  // Between steps, with the same numbers on all ranks. An error ends the rank's part in the group: a weight cannot be
  // read, or a rank is lost.
  absl::Status Advance(int64_t step);

  int64_t num_switched() const { return num_switched_; }  // layers, ever
  // Mean / largest load of a rank over the layers at the last look, and what it will be when all have switched.
  double balancedness() const { return balancedness_; }
  double balancedness_planned() const { return balancedness_planned_; }

 private:
  // A layer on its way to another placement.
  struct Move {
    MoeWeights* layer = nullptr;
    ExpertMap target;
    std::vector<int32_t> from_slot;                 // [slots of this rank]; a slot that holds the expert now, or −1
    std::vector<std::optional<MlpWeights>> loaded;  // [slots of this rank]; where from_slot is −1
  };

  absl::Status Plan();
  absl::Status GatherLoad();
  Move MoveTo(MoeWeights& layer, ExpertMap target) const;
  absl::Status LoadOne(Move& move);
  absl::Status Meet();
  static bool IsReady(const Move& move);
  static void Switch(Move& move);

  const RebalanceOptions options_;
  const Checkpoint& checkpoint_;
  const LoadOptions load_options_;
  Backend& backend_;
  ExpertLoad& load_;
  ExpertExchange& exchange_;
  std::vector<MoeWeights*> layers_;
  AverageLoad average_;
  std::vector<Move> moves_;  // the last first
  int64_t num_switched_ = 0;
  double balancedness_ = 1;
  double balancedness_planned_ = 1;
};

}  // namespace tessera
