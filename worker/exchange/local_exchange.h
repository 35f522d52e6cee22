#pragma once

#include <memory>

#include "worker/exchange/expert_exchange.h"

namespace tessera {

// The exchange of a group of one rank: tokens stay where they are. Requires: config.num_ranks is 1.
std::unique_ptr<ExpertExchange> MakeLocalExchange(const ExchangeConfig& config);

// Memory that it takes.
int64_t LocalExchangeBytes(const ExchangeConfig& config);

}  // namespace tessera
