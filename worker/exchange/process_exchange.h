#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/exchange/expert_exchange.h"
#include "worker/exchange/rendezvous_store.h"

namespace tessera {

struct ProcessExchangeOptions {
  int32_t rank = 0;
  absl::Duration call_timeout = absl::Minutes(2);        // a rank that does not come to a call breaks the group
  absl::Duration rendezvous_timeout = absl::Minutes(2);  // for the others to begin; the store may end the wait earlier
  absl::Duration connect_timeout = absl::Seconds(5);     // for a connection to a rank that listens
  std::string address;        // interface or address for other hosts to connect to; empty: the first that is up
  bool shared_memory = true;  // between ranks of one host; else they use TCP as well
  std::string host;           // ranks that say the same share memory; empty: as the kernel tells (else for tests only)
};

// The exchange of a rank whose peers are other processes: shared memory where they run on the same host, Gloo over TCP
// where they do not. Made without its peers, so that Abort works from the beginning.
class ProcessExchange : public ExpertExchange {
 public:
  using ExpertExchange::ExpertExchange;

  // Refuses a config or an address that cannot be.
  static absl::StatusOr<std::unique_ptr<ProcessExchange>> Create(const ExchangeConfig& config,
                                                                 const ProcessExchangeOptions& options);

  // Finds and connects all ranks; once, before the first step. Refuses ranks of another version or config. The store is
  // used during the call only; who ends the group makes its Get return, and calls Abort.
  virtual absl::Status Connect(RendezvousStore& store) = 0;

  // How this rank reaches the others, for a log line: "ranks 1, 2 by shared memory, rank 3 by TCP from 10.0.0.7".
  virtual std::string Describe() const = 0;

  // Memory that one rank takes.
  static int64_t Bytes(const ExchangeConfig& config);
};

}  // namespace tessera
