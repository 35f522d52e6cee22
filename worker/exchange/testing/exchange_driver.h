#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/exchange/expert_exchange.h"
#include "worker/exchange/process_exchange.h"

namespace tessera {

// What stands for the model in tests of exchanges: tokens and their routing by seed, and experts whose outputs tell
// which expert saw which token.

enum class Routing : uint8_t { kSpread, kFirstExperts, kLastExperts };

struct RoutedTokens {
  int32_t num_tokens = 0;
  std::vector<float> input;      // [T, D]
  std::vector<int32_t> experts;  // [T, k], distinct in each token
};
RoutedTokens MakeRoutedTokens(const ExchangeConfig& config, int32_t num_tokens, uint32_t seed,
                              Routing routing = Routing::kSpread);

// One MoE layer. Returns the contributions [T, k, D] as the sum over experts takes them: rounded to the wire's type.
absl::StatusOr<std::vector<float>> RunMoeLayer(ExpertExchange& exchange, const ExpertMap& map,
                                               const RoutedTokens& tokens);

// The same on a group of one rank, which sends nothing.
std::vector<float> RunMoeLayerAlone(const ExchangeConfig& config, const RoutedTokens& tokens);

// How the ranks of a test reach each other.
enum class Transport : uint8_t {
  kThreads,       // MakeInProcessExchanges
  kSharedMemory,  // as processes of one host
  kTcp,           // as processes without shared memory
  kTwoHosts,      // the lower half of the ranks on one, the rest on another: both of the above
};
std::string NameOf(Transport transport);
ProcessExchangeOptions OptionsOf(Transport transport, int32_t rank, int32_t num_ranks, absl::Duration call_timeout);

// Connected exchanges of one group, by rank, whatever the transport all in this process. Aborts on errors.
std::vector<std::unique_ptr<ExpertExchange>> ConnectGroup(const ExchangeConfig& config, Transport transport,
                                                          absl::Duration call_timeout = absl::Minutes(2));

// Runs body(exchange) for each rank at the same time.
void RunRanks(std::vector<std::unique_ptr<ExpertExchange>>& exchanges,
              const std::function<void(ExpertExchange&)>& body);

}  // namespace tessera
