#pragma once

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "worker/exchange/expert_exchange.h"

namespace tessera {

// The exchanges of a group whose ranks are threads of this process, by rank. They share a barrier and read each other's
// buffers directly. A rank that does not come to a meeting within `timeout` breaks the group.
std::vector<std::unique_ptr<ExpertExchange>> MakeInProcessExchanges(const ExchangeConfig& config,
                                                                    absl::Duration timeout);

// Memory that one rank's part takes.
int64_t InProcessExchangeBytes(const ExchangeConfig& config);

}  // namespace tessera
