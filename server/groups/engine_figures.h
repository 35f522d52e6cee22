#pragma once

#include "absl/status/status.h"
#include "scheduler/contract/engine_port.h"

namespace tessera {

// What EnginePort::Submit promises to check of a request itself: its fields, and that it can ever fit.
absl::Status CheckRequest(const Request& request, const EngineLimits& limits);

// Adds counters and what is now: requests, tokens and blocks. Readiness and its reason are left alone.
void AddFigures(const EngineStatus& from, EngineStatus& to);

// What every one of several groups can do. A group whose limits are not known yet (zeros) does not count.
EngineLimits Smallest(const EngineLimits& a, const EngineLimits& b);

}  // namespace tessera
