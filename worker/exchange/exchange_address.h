#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tessera {

// The numeric address of this host that others reach it at. `wanted` is an interface ("eth0"), an address or a name of
// this host; empty: that of the first interface that is up and not the loopback, or the loopback if there is no other.
absl::StatusOr<std::string> FindExchangeAddress(std::string_view wanted);

}  // namespace tessera
