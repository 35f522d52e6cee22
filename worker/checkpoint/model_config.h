#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/rope.h"
#include "kernels/router.h"

namespace tessera {

enum class ModelFamily { kDeepseekV2, kDeepseekV3 };

// How FP8 weights are stored: E4M3 with one F32 scale per block.
struct QuantizationConfig {
  int32_t block_rows = 128;
  int32_t block_cols = 128;
  bool power_of_two_scales = false;  // scale_fmt "ue8m0" (V3.1)
};

// A model of the DeepSeek-V2/V3 architecture, as its config.json describes it, every default filled in. Names are those
// of config.json.
struct ModelConfig {
  std::string architecture;  // as in the file, such as "DeepseekV3ForCausalLM"
  std::string model_type;
  ModelFamily family = ModelFamily::kDeepseekV3;

  int32_t vocab_size = 0;
  int32_t hidden_size = 0;
  int32_t num_hidden_layers = 0;
  int32_t num_attention_heads = 0;
  int32_t q_lora_rank = 0;  // 0: q_proj without compression
  int32_t kv_lora_rank = 512;
  int32_t qk_nope_head_dim = 128;
  int32_t qk_rope_head_dim = 64;
  int32_t v_head_dim = 128;
  int32_t intermediate_size = 0;      // of the dense layers
  int32_t moe_intermediate_size = 0;  // of one expert
  int32_t n_routed_experts = 0;       // 0: every layer is dense
  int32_t n_shared_experts = 0;       // one fused network of n_shared_experts · moe_intermediate_size
  int32_t first_k_dense_replace = 0;
  int32_t moe_layer_freq = 1;
  RouterParams router;
  int32_t num_nextn_predict_layers = 0;  // MTP modules in the file
  float rms_norm_eps = 1e-6F;
  double rope_theta = 10000;
  std::optional<YarnParams> yarn;
  bool rope_interleave = true;
  int32_t max_position_embeddings = 0;
  bool tie_word_embeddings = false;
  std::optional<QuantizationConfig> quantization;
  std::string dtype;  // torch_dtype / dtype of the file, such as "bfloat16"

  std::optional<int32_t> bos_token_id;
  std::vector<int32_t> eos_token_ids;        // of generation_config.json, else of config.json
  std::optional<float> default_temperature;  // of generation_config.json
  std::optional<float> default_top_p;

  bool IsMoeLayer(int32_t layer) const {
    return n_routed_experts > 0 && layer >= first_k_dense_replace && layer % moe_layer_freq == 0;
  }
  int32_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
};

}  // namespace tessera
