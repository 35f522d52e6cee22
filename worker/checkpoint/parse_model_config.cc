#include "worker/checkpoint/parse_model_config.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/checkpoint/config_fields.h"
#include "worker/checkpoint/json_text.h"
#include "worker/checkpoint/parse_rope.h"

namespace tessera {
namespace {

// Far above every published model, and small enough that products of three of them fit in 63 bits.
constexpr int32_t kVocabMax = 1 << 24;
constexpr int32_t kHiddenMax = 1 << 17;
constexpr int32_t kWidthMax = 1 << 20;
constexpr int32_t kHeadDimMax = 1 << 12;
constexpr int32_t kLayersMax = 1 << 12;
constexpr int32_t kExpertsMax = 1 << 14;
constexpr int64_t kExpertNetworksMax = 1 << 18;  // layers · experts; bounds the list of tensors (R1: 15,616)
constexpr int32_t kPositionsMax = 1 << 27;

struct KnownModel {
  std::string_view architecture, model_type;
  ModelFamily family;
};
constexpr std::array<KnownModel, 3> kKnownModels = {{
    {"DeepseekV2ForCausalLM", "deepseek_v2", ModelFamily::kDeepseekV2},
    {"DeepseekV3ForCausalLM", "deepseek_v3", ModelFamily::kDeepseekV3},
    {"DeepseekV3ForCausalLM", "kimi_k2", ModelFamily::kDeepseekV3},
}};

// The largest token id; with a faulty vocab_size, which has its own line, the largest that any model can have.
int32_t LastToken(const ModelConfig& config) { return config.vocab_size > 1 ? config.vocab_size - 1 : kVocabMax; }

class ConfigParser {
 public:
  ConfigParser(const nlohmann::json& object, ParsedConfig& result)
      : fields_(object, "config.json", result.problems), result_(result) {}

  void Parse(ModelConfig& config) {
    ParseFamily(config);
    ParseDimensions(config);
    ParseExperts(config);
    if (config.n_routed_experts > 0) ParseRouter(config);
    ParseWhatIsFixed(config);
    ParseQuantization(config);
    ParseTokens(config);
    config.rms_norm_eps = static_cast<float>(fields_.Number("rms_norm_eps", 1e-12, 1).value_or(1e-6));
    config.rope_interleave = fields_.Bool("rope_interleave").value_or(true);
    config.max_position_embeddings = fields_.Int("max_position_embeddings", 1, kPositionsMax).value_or(0);
    ParseRope(fields_, config, result_);
  }

 private:
  void ParseFamily(ModelConfig& config) {
    const std::vector<std::string> architectures =
        fields_.Strings("architectures").value_or(std::vector<std::string>());
    config.architecture = architectures.empty() ? "" : architectures[0];
    config.model_type = fields_.String("model_type").value_or("");
    const bool is_v32 = config.model_type == "deepseek_v32" || config.architecture == "DeepseekV32ForCausalLM";
    if (is_v32) {
      fields_.AddProblem("model_type",
                         "is deepseek_v32; its sparse attention is not supported, wanted deepseek_v2 or deepseek_v3");
      return;
    }
    for (const KnownModel& known : kKnownModels) {
      const bool same_architecture = config.architecture.empty() || config.architecture == known.architecture;
      const bool same_type = config.model_type.empty() || config.model_type == known.model_type;
      if (!same_architecture || !same_type || (config.architecture.empty() && config.model_type.empty())) continue;
      config.family = known.family;
      if (config.architecture.empty()) config.architecture = known.architecture;
      if (config.model_type.empty()) config.model_type = known.model_type;
      return;
    }
    fields_.AddProblem(
        "architectures",
        absl::StrFormat("is '%s' with model_type '%s', wanted DeepseekV2ForCausalLM with deepseek_v2, or "
                        "DeepseekV3ForCausalLM with deepseek_v3 or kimi_k2",
                        config.architecture, config.model_type));
  }

  void ParseDimensions(ModelConfig& config) {
    config.vocab_size = fields_.RequiredInt("vocab_size", 1, kVocabMax);
    config.hidden_size = fields_.RequiredInt("hidden_size", 1, kHiddenMax);
    config.intermediate_size = fields_.RequiredInt("intermediate_size", 1, kWidthMax);
    config.num_hidden_layers = fields_.RequiredInt("num_hidden_layers", 1, kLayersMax);
    config.num_attention_heads = fields_.RequiredInt("num_attention_heads", 1, kHeadDimMax);
    config.q_lora_rank = fields_.Int("q_lora_rank", 1, kHiddenMax).value_or(0);
    config.kv_lora_rank = fields_.Int("kv_lora_rank", 1, kHiddenMax).value_or(512);
    config.qk_nope_head_dim = fields_.Int("qk_nope_head_dim", 1, kHeadDimMax).value_or(128);
    config.qk_rope_head_dim = fields_.Int("qk_rope_head_dim", 2, kHeadDimMax).value_or(64);
    config.v_head_dim = fields_.Int("v_head_dim", 1, kHeadDimMax).value_or(128);
    if (config.qk_rope_head_dim % 2 != 0) {
      fields_.AddProblem("qk_rope_head_dim", absl::StrFormat("is %d, wanted an even number", config.qk_rope_head_dim));
    }
    config.num_nextn_predict_layers = fields_.Int("num_nextn_predict_layers", 0, 16).value_or(0);
    config.tie_word_embeddings = fields_.Bool("tie_word_embeddings").value_or(false);
    const std::string dtype = fields_.String("torch_dtype").value_or("");
    config.dtype = fields_.String("dtype").value_or(dtype);
  }

  void ParseExperts(ModelConfig& config) {
    config.n_routed_experts = fields_.Int("n_routed_experts", 1, kExpertsMax).value_or(0);
    const bool is_v3 = config.family == ModelFamily::kDeepseekV3;
    config.first_k_dense_replace = fields_.Int("first_k_dense_replace", 0, kLayersMax).value_or(is_v3 ? 3 : 0);
    config.moe_layer_freq = fields_.Int("moe_layer_freq", 1, kLayersMax).value_or(1);
    if (config.n_routed_experts == 0) return;
    config.moe_intermediate_size = fields_.RequiredInt("moe_intermediate_size", 1, kWidthMax);
    config.n_shared_experts = fields_.Int("n_shared_experts", 0, 1 << 10).value_or(0);
    config.router.num_experts_per_tok = fields_.RequiredInt("num_experts_per_tok", 1, 1 << 10);
    const int64_t networks = int64_t{config.num_hidden_layers} * config.n_routed_experts;
    if (networks > kExpertNetworksMax) {
      fields_.AddProblem("n_routed_experts", absl::StrFormat("times num_hidden_layers is %d, wanted at most %d",
                                                             networks, kExpertNetworksMax));
    }
  }

  void ParseRouter(ModelConfig& config) {
    const bool is_v3 = config.family == ModelFamily::kDeepseekV3;
    RouterParams& router = config.router;
    const std::string scoring = fields_.String("scoring_func").value_or(is_v3 ? "sigmoid" : "softmax");
    const std::string method = fields_.String("topk_method").value_or(is_v3 ? "noaux_tc" : "greedy");
    if (is_v3 && scoring == "sigmoid" && method == "noaux_tc") {
      router.scoring = Scoring::kSigmoid;
      router.method = TopkMethod::kNoAuxTc;
    } else if (!is_v3 && scoring == "softmax" && (method == "greedy" || method == "group_limited_greedy")) {
      router.scoring = Scoring::kSoftmax;
      router.method = method == "greedy" ? TopkMethod::kGreedy : TopkMethod::kGroupLimitedGreedy;
    } else {
      fields_.AddProblem("topk_method", absl::StrFormat("is '%s' with scoring_func '%s', wanted %s", method, scoring,
                                                        is_v3 ? "noaux_tc with sigmoid"
                                                              : "greedy or group_limited_greedy with softmax"));
    }
    router.routed_scaling_factor =
        static_cast<float>(fields_.Number("routed_scaling_factor", 1e-6, 1e6).value_or(is_v3 ? 2.5 : 1.0));
    router.norm_topk_prob = fields_.Bool("norm_topk_prob").value_or(is_v3);
    if (!is_v3 && router.norm_topk_prob && router.num_experts_per_tok > 1) {
      fields_.AddProblem("norm_topk_prob", "is true, wanted false: the V2 gate with normalized weights is ambiguous");
    }
    if (!is_v3) router.norm_topk_prob = false;  // with one expert the V2 gate never normalizes
    ParseGroups(config);
  }

  void ParseGroups(ModelConfig& config) {
    RouterParams& router = config.router;
    router.n_group = fields_.Int("n_group", 1, kExpertsMax).value_or(1);
    router.topk_group = fields_.Int("topk_group", 1, kExpertsMax).value_or(1);
    if (router.method == TopkMethod::kGreedy) router.n_group = router.topk_group = 1;  // greedy looks at no group
    const int32_t experts = config.n_routed_experts;
    if (experts % router.n_group != 0) {
      fields_.AddProblem("n_group",
                         absl::StrFormat("is %d, wanted a divisor of n_routed_experts, %d", router.n_group, experts));
      return;
    }
    if (router.topk_group > router.n_group) {
      fields_.AddProblem("topk_group",
                         absl::StrFormat("is %d, wanted at most n_group, %d", router.topk_group, router.n_group));
    }
    const int32_t group_size = experts / router.n_group;
    if (router.method == TopkMethod::kNoAuxTc && router.n_group > 1 && group_size < 2) {
      fields_.AddProblem("n_group", absl::StrFormat("is %d, which leaves %d expert in a group, wanted at least 2",
                                                    router.n_group, group_size));
      return;
    }
    const int64_t choice = int64_t{group_size} * router.topk_group;
    if (router.num_experts_per_tok > choice) {
      fields_.AddProblem("num_experts_per_tok",
                         absl::StrFormat("is %d, wanted at most %d: the experts of %d of %d groups",
                                         router.num_experts_per_tok, choice, router.topk_group, router.n_group));
    }
  }

  // Variants that no published model uses and that this program does not compute.
  void ParseWhatIsFixed(ModelConfig&) {
    if (fields_.Bool("attention_bias").value_or(false)) {
      fields_.AddProblem("attention_bias", "is true, wanted false: biases are not supported");
    }
    const std::string activation = fields_.String("hidden_act").value_or("silu");
    if (activation != "silu") fields_.AddProblem("hidden_act", absl::StrFormat("is '%s', wanted silu", activation));
  }

  void ParseQuantization(ModelConfig& config) {
    const nlohmann::json* object = fields_.Object("quantization_config");
    if (object == nullptr) return;
    ConfigFields fields(*object, "config.json: quantization_config", result_.problems);
    const std::string method = fields.String("quant_method").value_or("");
    if (method != "fp8") {
      fields.AddProblem("quant_method", absl::StrFormat("is '%s', wanted fp8 (E4M3 with block scales)", method));
      return;
    }
    const std::string format = fields.String("fmt").value_or("e4m3");
    if (format != "e4m3") fields.AddProblem("fmt", absl::StrFormat("is '%s', wanted e4m3", format));
    const std::string activation = fields.String("activation_scheme").value_or("dynamic");
    if (activation != "dynamic") {
      fields.AddProblem("activation_scheme", absl::StrFormat("is '%s', wanted dynamic", activation));
    }
    const std::string scale_format = fields.String("scale_fmt").value_or("float");
    if (scale_format != "ue8m0" && scale_format != "float") {
      fields.AddProblem("scale_fmt", absl::StrFormat("is '%s', wanted ue8m0 or none", scale_format));
    }
    QuantizationConfig quantization;
    quantization.power_of_two_scales = scale_format == "ue8m0";
    const std::vector<int32_t> block = fields.Ints("weight_block_size", 1, 1 << 16).value_or(std::vector<int32_t>());
    if (block.size() != 2) {
      fields.AddProblem("weight_block_size", absl::StrFormat("has %d entries, wanted [rows, columns]", block.size()));
      return;
    }
    quantization.block_rows = block[0];
    quantization.block_cols = block[1];
    config.quantization = quantization;
  }

  void ParseTokens(ModelConfig& config) {
    config.bos_token_id = fields_.Int("bos_token_id", 0, LastToken(config));
    config.eos_token_ids = fields_.Ints("eos_token_id", 0, LastToken(config)).value_or(std::vector<int32_t>());
  }

  ConfigFields fields_;
  ParsedConfig& result_;
};

void ParseGenerationConfig(std::string_view text, ModelConfig& config, std::vector<std::string>& problems) {
  constexpr std::string_view kFile = "generation_config.json";
  const absl::StatusOr<nlohmann::json> object = ParseJsonObject(text, kFile, HeaderJsonLimits());
  if (!object.ok()) {
    problems.emplace_back(object.status().message());
    return;
  }
  ConfigFields fields(*object, std::string(kFile), problems);
  if (const auto id = fields.Int("bos_token_id", 0, LastToken(config))) config.bos_token_id = id;
  if (auto ids = fields.Ints("eos_token_id", 0, LastToken(config))) config.eos_token_ids = *std::move(ids);
  if (const auto value = fields.Number("temperature", 0, 100)) config.default_temperature = static_cast<float>(*value);
  if (const auto value = fields.Number("top_p", 1e-6, 1)) config.default_top_p = static_cast<float>(*value);
}

// `generation_path` is empty when only config.json is to be read.
ParsedConfig ReadFiles(const std::string& config_path, const std::string& generation_path) {
  ParsedConfig result;
  const int64_t bytes_max = HeaderJsonLimits().bytes_max;
  const absl::StatusOr<std::string> config = ReadTextFile(config_path, bytes_max);
  if (!config.ok()) {
    result.problems.emplace_back(config.status().message());
    return result;
  }
  if (generation_path.empty()) return ParseModelConfig(*config, std::nullopt);
  const absl::StatusOr<std::string> generation = ReadTextFile(generation_path, bytes_max);
  if (generation.ok()) return ParseModelConfig(*config, *generation);
  if (absl::IsNotFound(generation.status())) return ParseModelConfig(*config, std::nullopt);
  result.problems.emplace_back(generation.status().message());
  return result;
}

}  // namespace

ParsedConfig ParseModelConfig(std::string_view config_json, std::optional<std::string_view> generation_config_json) {
  ParsedConfig result;
  const absl::StatusOr<nlohmann::json> object = ParseJsonObject(config_json, "config.json", HeaderJsonLimits());
  if (!object.ok()) {
    result.problems.emplace_back(object.status().message());
    return result;
  }
  ModelConfig config;
  ConfigParser(*object, result).Parse(config);
  if (generation_config_json) ParseGenerationConfig(*generation_config_json, config, result.problems);
  if (result.problems.empty()) result.config = std::move(config);
  return result;
}

ParsedConfig ReadModelConfigFolder(const std::string& folder) {
  return ReadFiles(folder + "/config.json", folder + "/generation_config.json");
}

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder_or_config_json) {
  struct stat info = {};
  const bool is_folder = stat(folder_or_config_json.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  const ParsedConfig parsed =
      is_folder ? ReadModelConfigFolder(folder_or_config_json) : ReadFiles(folder_or_config_json, "");
  if (parsed.config) return *parsed.config;
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: %s", folder_or_config_json, absl::StrJoin(parsed.problems, "\n")));
}

}  // namespace tessera
