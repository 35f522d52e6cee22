#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/exchange/dispatch_message.h"
#include "worker/exchange/wire_rows.h"

// Whatever another rank sends: refused, or read within its bounds.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const tessera::ExchangeConfig config{.num_ranks = 2,
                                       .n_routed_experts = 6,
                                       .num_experts_per_tok = 2,
                                       .hidden_size = 3,
                                       .step_tokens_max = 4,
                                       .wire = tessera::DType::kBF16};
  const auto reader = tessera::DispatchReader::Parse(config, 4, std::as_bytes(std::span(data, size)));
  if (!reader.ok()) return 0;
  std::vector<float> row(3);
  for (int32_t token = 0; token < reader->num_tokens(); ++token) {
    tessera::ReadRow(reader->row(token), 3, config.wire, row.data());
  }
  for (int32_t pair = 0; pair < reader->num_pairs(); ++pair) {
    if (reader->slot(pair) >= config.slots_per_rank()) __builtin_trap();
  }
  return 0;
}
