#pragma once

#include "scheduler/contract/engine_port.h"

namespace tessera {

// Adds the counters of `earlier`, an engine that has ended, to those of `status`; what is true only now stays.
void AddCounters(const EngineStatus& earlier, EngineStatus& status);

}  // namespace tessera
