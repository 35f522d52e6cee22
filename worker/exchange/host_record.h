#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/exchange/expert_exchange.h"

namespace tessera {

// What a rank tells all others first, as lines of text: where it runs and what it takes a message to be.
struct HostRecord {
  std::string format;  // ExchangeFormat of its config
  std::string host;    // ranks that say the same can share memory; empty: this one shares none
  int32_t process = 0;
  int32_t segment = 0;  // file descriptor of its segment in that process
};
std::string Encode(const HostRecord& record);
absl::StatusOr<HostRecord> ParseHostRecord(std::string_view text);

// What ranks must agree on to understand each other's messages.
std::string ExchangeFormat(const ExchangeConfig& config);

// Names the processes that can open each other's segments: same kernel, process ids and user. Empty if this one cannot
// share memory.
std::string SharingHost();

}  // namespace tessera
