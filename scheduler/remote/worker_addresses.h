#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tessera {

// Where the workers of a group are to be found.
struct WorkerAddresses {
  std::vector<std::string> hosts;  // "host:port", by rank; or
  std::string dns_name;            // a name that has one address for each worker, in no order
  std::string dns_port;

  bool by_dns() const { return !dns_name.empty(); }
};

// "host:port,host:port" or "dns:NAME:PORT". `flag` names it in errors.
absl::StatusOr<WorkerAddresses> ParseAddresses(std::string_view flag, std::string_view text);

// The addresses that a name has now, as "1.2.3.4:7000" or "[2001:db8::1]:7000", sorted. May take seconds.
absl::StatusOr<std::vector<std::string>> ResolveDns(const std::string& name, const std::string& port);

}  // namespace tessera
