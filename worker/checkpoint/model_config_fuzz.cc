// Any bytes as config.json: never a crash, and what is accepted is within the bounds that later code relies on.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "worker/checkpoint/expected_tensors.h"
#include "worker/checkpoint/model_sizes.h"
#include "worker/checkpoint/parse_model_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const tessera::ParsedConfig parsed = tessera::ParseModelConfig(text, text);
  TESSERA_CHECK(parsed.config.has_value() == parsed.problems.empty());
  if (!parsed.config) return 0;
  const tessera::ModelConfig& config = *parsed.config;
  TESSERA_CHECK(config.max_position_embeddings > 0 && config.qk_rope_head_dim % 2 == 0);
  if (config.n_routed_experts > 0) {
    TESSERA_CHECK(config.n_routed_experts % config.router.n_group == 0);
    TESSERA_CHECK(config.router.num_experts_per_tok <= config.n_routed_experts);
  }
  if (int64_t{config.num_hidden_layers} * (config.n_routed_experts + 1) > 2000) return 0;  // slow, not wrong
  TESSERA_CHECK(tessera::ComputeSizes(config, nullptr).MainTotal().bytes > 0);
  return 0;
}
