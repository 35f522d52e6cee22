#include "worker/exchange/in_process_exchange.h"

#include <utility>

#include "base/check.h"
#include "worker/exchange/linked_exchange.h"
#include "worker/exchange/shared_memory_links.h"

namespace tessera {

std::vector<std::unique_ptr<ExpertExchange>> MakeInProcessExchanges(const ExchangeConfig& config,
                                                                    absl::Duration timeout) {
  TESSERA_CHECK_OK(Validate(config));
  std::vector<std::shared_ptr<Segment>> segments;
  for (int32_t rank = 0; rank < config.num_ranks; ++rank) {
    absl::StatusOr<std::shared_ptr<Segment>> segment = Segment::CreatePrivate(LinkedExchange::OutboxLayout(config));
    TESSERA_CHECK_OK(segment.status());  // address space alone: pages come with the first write
    segments.push_back(*std::move(segment));
  }
  std::vector<std::unique_ptr<ExpertExchange>> exchanges;
  for (int32_t rank = 0; rank < config.num_ranks; ++rank) {
    const std::shared_ptr<Segment>& mine = segments[static_cast<size_t>(rank)];
    auto exchange = std::make_unique<LinkedExchange>(config, rank, timeout, mine);
    std::vector<Neighbour> neighbours;
    for (int32_t other = 0; other < config.num_ranks; ++other) {
      if (other == rank) continue;
      neighbours.push_back({.rank = other, .segment = segments[static_cast<size_t>(other)], .process = {}});
    }
    exchange->AddLinks(MakeSharedMemoryLinks(rank, mine, std::move(neighbours), /*spin=*/false, exchange->fault()));
    exchanges.push_back(std::move(exchange));
  }
  return exchanges;
}

int64_t InProcessExchangeBytes(const ExchangeConfig& config) { return LinkedExchange::Bytes(config); }

}  // namespace tessera
