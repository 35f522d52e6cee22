#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>
#include <vector>

#include "scheduler/contract/engine_port.h"

namespace tessera {

// Reads an engine's status at each scrape and shows it under our names and vLLM's. Thread-safe.
class EngineCollector final : public prometheus::Collectable {
 public:
  // `engine` must outlive this object.
  EngineCollector(std::string model_name, EnginePort& engine);
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  std::string model_name_;
  EnginePort& engine_;
};

}  // namespace tessera
