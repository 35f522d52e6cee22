#pragma once

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "worker/exchange/expert_exchange.h"

namespace tessera {

// The exchanges of a group whose ranks are threads of this process, by rank: linked as processes of one host are, with
// memory of this process. A call that takes longer than `timeout` breaks the group. Requires: Validate(config) is Ok.
std::vector<std::unique_ptr<ExpertExchange>> MakeInProcessExchanges(const ExchangeConfig& config,
                                                                    absl::Duration timeout);

// Memory that one rank's part takes.
int64_t InProcessExchangeBytes(const ExchangeConfig& config);

}  // namespace tessera
