#pragma once

#include <iosfwd>

#include "scheduler/simulation/report.h"

namespace tessera {

// What `tessera simulate` prints: for people, and for programs (seconds throughout).
void PrintTable(const Report& report, std::ostream& out);
void PrintJson(const Report& report, std::ostream& out);

}  // namespace tessera
