#include "worker/checkpoint/expected_tensors.h"

#include <array>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tessera {
namespace {

class TensorLister {
 public:
  explicit TensorLister(const ModelConfig& config) : config_(config) {}

  std::vector<ExpectedTensor> List() && {
    Matrix("model.embed_tokens.weight", config_.vocab_size, config_.hidden_size, ModelPart::kEmbedding);
    for (int32_t layer = 0; layer < config_.num_hidden_layers; ++layer) AddLayer(layer, config_.IsMoeLayer(layer));
    Norm("model.norm.weight", config_.hidden_size);
    Matrix("lm_head.weight", config_.vocab_size, config_.hidden_size, ModelPart::kHead);
    if (config_.tie_word_embeddings) tensors_.back().alias = "model.embed_tokens.weight";
    is_mtp_ = true;
    for (int32_t i = 0; i < config_.num_nextn_predict_layers; ++i) AddMtpModule(config_.num_hidden_layers + i);
    return std::move(tensors_);
  }

 private:
  void Matrix(std::string name, int64_t rows, int64_t cols, ModelPart part) {
    tensors_.push_back({.name = std::move(name), .rows = rows, .cols = cols, .part = part, .is_mtp = is_mtp_});
  }

  void Quantized(std::string name, int64_t rows, int64_t cols, ModelPart part) {
    Matrix(std::move(name), rows, cols, part);
    tensors_.back().is_quantized = config_.quantization.has_value();
  }

  void Norm(std::string name, int64_t size) { Matrix(std::move(name), size, 0, ModelPart::kNorms); }

  void AddAttention(const std::string& prefix) {
    const ModelConfig& c = config_;
    const int64_t heads = c.num_attention_heads;
    if (c.q_lora_rank == 0) {
      Quantized(prefix + "q_proj.weight", heads * c.qk_head_dim(), c.hidden_size, ModelPart::kAttention);
    } else {
      Quantized(prefix + "q_a_proj.weight", c.q_lora_rank, c.hidden_size, ModelPart::kAttention);
      Norm(prefix + "q_a_layernorm.weight", c.q_lora_rank);
      Quantized(prefix + "q_b_proj.weight", heads * c.qk_head_dim(), c.q_lora_rank, ModelPart::kAttention);
    }
    Quantized(prefix + "kv_a_proj_with_mqa.weight", int64_t{c.kv_lora_rank} + c.qk_rope_head_dim, c.hidden_size,
              ModelPart::kAttention);
    Norm(prefix + "kv_a_layernorm.weight", c.kv_lora_rank);
    Quantized(prefix + "kv_b_proj.weight", heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank,
              ModelPart::kAttention);
    Quantized(prefix + "o_proj.weight", c.hidden_size, heads * c.v_head_dim, ModelPart::kAttention);
  }

  void AddMlp(const std::string& prefix, int64_t width, ModelPart part) {
    Quantized(prefix + "gate_proj.weight", width, config_.hidden_size, part);
    Quantized(prefix + "up_proj.weight", width, config_.hidden_size, part);
    Quantized(prefix + "down_proj.weight", config_.hidden_size, width, part);
  }

  void AddExperts(const std::string& prefix) {
    Matrix(prefix + "gate.weight", config_.n_routed_experts, config_.hidden_size, ModelPart::kRouter);
    if (config_.router.method == TopkMethod::kNoAuxTc) {
      Matrix(prefix + "gate.e_score_correction_bias", config_.n_routed_experts, 0, ModelPart::kRouter);
    }
    for (int32_t expert = 0; expert < config_.n_routed_experts; ++expert) {
      AddMlp(absl::StrCat(prefix, "experts.", expert, "."), config_.moe_intermediate_size, ModelPart::kRoutedExperts);
    }
    if (config_.n_shared_experts > 0) {
      AddMlp(prefix + "shared_experts.", int64_t{config_.n_shared_experts} * config_.moe_intermediate_size,
             ModelPart::kSharedExperts);
    }
  }

  void AddLayer(int32_t layer, bool is_moe) {
    const std::string prefix = absl::StrCat("model.layers.", layer, ".");
    Norm(prefix + "input_layernorm.weight", config_.hidden_size);
    AddAttention(prefix + "self_attn.");
    Norm(prefix + "post_attention_layernorm.weight", config_.hidden_size);
    if (is_moe) {
      AddExperts(prefix + "mlp.");
    } else {
      AddMlp(prefix + "mlp.", config_.intermediate_size, ModelPart::kDenseMlp);
    }
  }

  void AddMtpModule(int32_t layer) {
    const std::string prefix = absl::StrCat("model.layers.", layer, ".");
    Matrix(prefix + "embed_tokens.weight", config_.vocab_size, config_.hidden_size, ModelPart::kEmbedding);
    tensors_.back().alias = "model.embed_tokens.weight";
    Norm(prefix + "enorm.weight", config_.hidden_size);
    Norm(prefix + "hnorm.weight", config_.hidden_size);
    Matrix(prefix + "eh_proj.weight", config_.hidden_size, int64_t{2} * config_.hidden_size, ModelPart::kAttention);
    AddLayer(layer, config_.n_routed_experts > 0);
    Norm(prefix + "shared_head.norm.weight", config_.hidden_size);
    Matrix(prefix + "shared_head.head.weight", config_.vocab_size, config_.hidden_size, ModelPart::kHead);
    tensors_.back().alias = "lm_head.weight";
  }

  const ModelConfig& config_;
  bool is_mtp_ = false;
  std::vector<ExpectedTensor> tensors_;
};

}  // namespace

std::string_view ToString(ModelPart part) {
  constexpr std::array<std::string_view, kNumModelParts> kNames = {
      "embedding", "attention", "dense MLP", "routed experts", "shared experts", "router", "norms", "head"};
  return kNames[static_cast<size_t>(part)];
}

std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config) { return TensorLister(config).List(); }

}  // namespace tessera
