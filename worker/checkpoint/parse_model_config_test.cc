#include "worker/checkpoint/parse_model_config.h"

#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "worker/checkpoint/model_config_samples.h"

namespace tessera {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

ParsedConfig Parse(const json& config) { return ParseModelConfig(config.dump(), std::nullopt); }

TEST(ParseModelConfigTest, ReadsR1) {
  const ParsedConfig parsed = ParseModelConfig(kR1Config, kR1GenerationConfig);
  ASSERT_THAT(parsed.problems, IsEmpty());
  EXPECT_THAT(parsed.notes, IsEmpty());
  const ModelConfig& c = *parsed.config;
  EXPECT_EQ(c.architecture, "DeepseekV3ForCausalLM");
  EXPECT_EQ(c.family, ModelFamily::kDeepseekV3);
  EXPECT_EQ(c.vocab_size, 129280);
  EXPECT_EQ(c.hidden_size, 7168);
  EXPECT_EQ(c.num_hidden_layers, 61);
  EXPECT_EQ(c.num_attention_heads, 128);
  EXPECT_EQ(c.q_lora_rank, 1536);
  EXPECT_EQ(c.kv_lora_rank, 512);
  EXPECT_EQ(c.qk_head_dim(), 192);
  EXPECT_EQ(c.v_head_dim, 128);
  EXPECT_EQ(c.intermediate_size, 18432);
  EXPECT_EQ(c.moe_intermediate_size, 2048);
  EXPECT_EQ(c.n_routed_experts, 256);
  EXPECT_EQ(c.n_shared_experts, 1);
  EXPECT_EQ(c.first_k_dense_replace, 3);
  EXPECT_EQ(c.router.scoring, Scoring::kSigmoid);
  EXPECT_EQ(c.router.method, TopkMethod::kNoAuxTc);
  EXPECT_EQ(c.router.num_experts_per_tok, 8);
  EXPECT_EQ(c.router.n_group, 8);
  EXPECT_EQ(c.router.topk_group, 4);
  EXPECT_TRUE(c.router.norm_topk_prob);
  EXPECT_EQ(c.router.routed_scaling_factor, 2.5F);
  EXPECT_EQ(c.num_nextn_predict_layers, 1);
  EXPECT_EQ(c.rms_norm_eps, 1e-6F);
  ASSERT_TRUE(c.yarn.has_value());
  EXPECT_EQ(c.yarn->factor, 40);
  EXPECT_EQ(c.yarn->original_max_position_embeddings, 4096);
  EXPECT_EQ(c.yarn->mscale, 1);
  EXPECT_EQ(c.yarn->mscale_all_dim, 1);
  EXPECT_TRUE(c.rope_interleave);
  EXPECT_EQ(c.max_position_embeddings, 163840);
  ASSERT_TRUE(c.quantization.has_value());
  EXPECT_EQ(c.quantization->block_rows, 128);
  EXPECT_FALSE(c.quantization->power_of_two_scales);
  EXPECT_EQ(c.dtype, "bfloat16");
  EXPECT_EQ(c.bos_token_id, 0);
  EXPECT_THAT(c.eos_token_ids, ElementsAre(1));
  EXPECT_EQ(c.default_temperature, 0.6F);
  EXPECT_EQ(c.default_top_p, 0.95F);
}

TEST(ParseModelConfigTest, ReadsV2Lite) {
  const ParsedConfig parsed = ParseModelConfig(kV2LiteConfig, std::nullopt);
  ASSERT_THAT(parsed.problems, IsEmpty());
  const ModelConfig& c = *parsed.config;
  EXPECT_EQ(c.family, ModelFamily::kDeepseekV2);
  EXPECT_EQ(c.q_lora_rank, 0);
  EXPECT_EQ(c.router.scoring, Scoring::kSoftmax);
  EXPECT_EQ(c.router.method, TopkMethod::kGreedy);
  EXPECT_FALSE(c.router.norm_topk_prob);
  EXPECT_EQ(c.router.routed_scaling_factor, 1.0F);
  EXPECT_EQ(c.yarn->mscale_all_dim, 0.707);
  EXPECT_FALSE(c.quantization.has_value());
  EXPECT_EQ(c.num_nextn_predict_layers, 0);
}

TEST(ParseModelConfigTest, ReadsV2) {
  const ParsedConfig parsed = ParseModelConfig(kV2Config, std::nullopt);
  ASSERT_THAT(parsed.problems, IsEmpty());
  EXPECT_EQ(parsed.config->router.method, TopkMethod::kGroupLimitedGreedy);
  EXPECT_EQ(parsed.config->router.n_group, 8);
  EXPECT_EQ(parsed.config->router.topk_group, 3);
  EXPECT_EQ(parsed.config->router.routed_scaling_factor, 16.0F);
}

TEST(ParseModelConfigTest, ReadsV31) {
  const ParsedConfig parsed = Parse(V31Config());
  ASSERT_THAT(parsed.problems, IsEmpty());
  EXPECT_TRUE(parsed.config->quantization->power_of_two_scales);
}

TEST(ParseModelConfigTest, ReadsMoonlight) {
  const ParsedConfig parsed = ParseModelConfig(kMoonlightConfig, std::nullopt);
  ASSERT_THAT(parsed.problems, IsEmpty());
  const ModelConfig& c = *parsed.config;
  EXPECT_EQ(c.router.n_group, 1);
  EXPECT_EQ(c.rms_norm_eps, 1e-5F);
  EXPECT_FALSE(c.yarn.has_value());
  EXPECT_EQ(c.rope_theta, 50000);
  EXPECT_EQ(c.max_position_embeddings, 8192);
}

TEST(ParseModelConfigTest, ReadsKimiK2) {
  const ParsedConfig parsed = ParseModelConfig(kKimiK2Config, std::nullopt);
  ASSERT_THAT(parsed.problems, IsEmpty());
  EXPECT_EQ(parsed.config->model_type, "kimi_k2");
  EXPECT_EQ(parsed.config->n_routed_experts, 384);
  EXPECT_EQ(parsed.config->yarn->beta_fast, 1);
}

TEST(ParseModelConfigTest, FillsInTheDefaultsOfEachFamily) {
  json v3 = json::parse(kR1Config);
  for (const char* name : {"scoring_func",
                           "topk_method",
                           "norm_topk_prob",
                           "routed_scaling_factor",
                           "kv_lora_rank",
                           "qk_nope_head_dim",
                           "qk_rope_head_dim",
                           "v_head_dim",
                           "first_k_dense_replace",
                           "n_group",
                           "topk_group",
                           "moe_layer_freq",
                           "rope_theta",
                           "num_nextn_predict_layers",
                           "rms_norm_eps",
                           "tie_word_embeddings",
                           "attention_bias",
                           "quantization_config",
                           "eos_token_id",
                           "torch_dtype"}) {
    v3.erase(name);
  }
  const ParsedConfig parsed = Parse(v3);
  ASSERT_THAT(parsed.problems, IsEmpty());
  const ModelConfig& c = *parsed.config;
  EXPECT_EQ(c.router.method, TopkMethod::kNoAuxTc);
  EXPECT_TRUE(c.router.norm_topk_prob);
  EXPECT_EQ(c.router.routed_scaling_factor, 2.5F);
  EXPECT_EQ(c.router.n_group, 1);
  EXPECT_EQ(c.kv_lora_rank, 512);
  EXPECT_EQ(c.first_k_dense_replace, 3);
  EXPECT_EQ(c.rope_theta, 10000);
  EXPECT_EQ(c.num_nextn_predict_layers, 0);
  EXPECT_THAT(c.eos_token_ids, IsEmpty());

  json v2 = json::parse(kV2LiteConfig);
  for (const char* name :
       {"scoring_func", "topk_method", "norm_topk_prob", "routed_scaling_factor", "first_k_dense_replace"}) {
    v2.erase(name);
  }
  const ParsedConfig parsed_v2 = Parse(v2);
  ASSERT_THAT(parsed_v2.problems, IsEmpty());
  EXPECT_EQ(parsed_v2.config->router.method, TopkMethod::kGreedy);
  EXPECT_FALSE(parsed_v2.config->router.norm_topk_prob);
  EXPECT_EQ(parsed_v2.config->router.routed_scaling_factor, 1.0F);
  EXPECT_EQ(parsed_v2.config->first_k_dense_replace, 0);
}

TEST(ParseModelConfigTest, ReadsTheSpellingsOfNewerExports) {
  json config = json::parse(kR1Config);
  json parameters = config["rope_scaling"];
  parameters.erase("type");
  parameters["rope_type"] = "yarn";
  parameters["rope_theta"] = 20000;
  config["rope_parameters"] = parameters;
  config.erase("rope_scaling");
  config.erase("rope_theta");
  config["dtype"] = "float16";
  config.erase("torch_dtype");
  config["eos_token_id"] = {1, 7};
  config["rope_interleave"] = false;
  const ParsedConfig parsed = Parse(config);
  ASSERT_THAT(parsed.problems, IsEmpty());
  EXPECT_EQ(parsed.config->yarn->factor, 40);
  EXPECT_EQ(parsed.config->rope_theta, 20000);
  EXPECT_EQ(parsed.config->dtype, "float16");
  EXPECT_THAT(parsed.config->eos_token_ids, ElementsAre(1, 7));
  EXPECT_FALSE(parsed.config->rope_interleave);
}

TEST(ParseModelConfigTest, RopeOfTypeDefaultIsPlain) {
  json config = json::parse(kR1Config);
  config["rope_scaling"] = {{"rope_type", "default"}};
  const ParsedConfig parsed = Parse(config);
  ASSERT_THAT(parsed.problems, IsEmpty());
  EXPECT_FALSE(parsed.config->yarn.has_value());
}

TEST(ParseModelConfigTest, TheContextEndsWhereTheRotationDoesOrEarlier) {
  json config = json::parse(kR1Config);
  config["max_position_embeddings"] = 1 << 20;
  const ParsedConfig wide = Parse(config);
  ASSERT_THAT(wide.problems, IsEmpty());
  EXPECT_EQ(wide.config->max_position_embeddings, 163840);
  EXPECT_THAT(wide.notes, ElementsAre(HasSubstr("1048576")));
  config["max_position_embeddings"] = 8192;
  EXPECT_EQ(Parse(config).config->max_position_embeddings, 8192);
  config.erase("max_position_embeddings");
  EXPECT_EQ(Parse(config).config->max_position_embeddings, 163840);
  config["rope_scaling"]["factor"] = 1;
  EXPECT_EQ(Parse(config).config->max_position_embeddings, 4096);
}

TEST(ParseModelConfigTest, MissingMscaleIsZeroNotOne) {
  json config = json::parse(kR1Config);
  config["rope_scaling"].erase("mscale");
  config["rope_scaling"].erase("mscale_all_dim");
  EXPECT_EQ(Parse(config).config->yarn->mscale, 0);
  EXPECT_EQ(Parse(config).config->yarn->mscale_all_dim, 0);
}

TEST(ParseModelConfigTest, WithoutExpertsTheModelIsDense) {
  json config = json::parse(kR1Config);
  config["n_routed_experts"] = nullptr;
  const ParsedConfig parsed = Parse(config);
  ASSERT_THAT(parsed.problems, IsEmpty());
  EXPECT_FALSE(parsed.config->IsMoeLayer(60));
}

TEST(ParseModelConfigTest, GenerationConfigOverridesTheEndTokens) {
  const ParsedConfig parsed = ParseModelConfig(kR1Config, R"({"eos_token_id": [5, 6], "temperature": 0})");
  ASSERT_THAT(parsed.problems, IsEmpty());
  EXPECT_THAT(parsed.config->eos_token_ids, ElementsAre(5, 6));
  EXPECT_EQ(parsed.config->default_temperature, 0.0F);
  EXPECT_FALSE(parsed.config->default_top_p.has_value());
}

struct BadField {
  std::string test_name;
  std::string pointer;  // JSON pointer into R1's config
  json value;
  std::string message;  // part of the only problem
};
class BadConfigTest : public testing::TestWithParam<BadField> {};
TEST_P(BadConfigTest, IsRefusedNamingTheField) {
  json config = json::parse(kR1Config);
  const json::json_pointer pointer(GetParam().pointer);
  config[pointer] = GetParam().value;
  if (GetParam().value == "<erase>") config[pointer.parent_pointer()].erase(pointer.back());
  const ParsedConfig parsed = Parse(config);
  EXPECT_FALSE(parsed.config.has_value());
  EXPECT_THAT(parsed.problems, ElementsAre(AllOf(HasSubstr("'" + pointer.back() + "'"), HasSubstr(GetParam().message),
                                                 HasSubstr("wanted"))));
}
INSTANTIATE_TEST_SUITE_P(
    Fields, BadConfigTest,
    testing::Values(
        BadField{"Missing", "/hidden_size", "<erase>", "is missing"},
        BadField{"String", "/hidden_size", "7168", "\"7168\" (string)"},
        BadField{"Fraction", "/hidden_size", 7168.0, "7168.0 (number)"},
        BadField{"Boolean", "/num_hidden_layers", true, "true (boolean)"},
        BadField{"Negative", "/num_hidden_layers", -1, "-1 (number)"}, BadField{"Zero", "/vocab_size", 0, "is 0"},
        BadField{"Huge", "/intermediate_size", 1LL << 40, "1099511627776"},
        BadField{"HugeUnsigned", "/moe_intermediate_size", 18446744073709551615ULL, "18446744073709551615"},
        BadField{"List", "/kv_lora_rank", json::array({1}), "[1] (array)"},
        BadField{"OddRope", "/qk_rope_head_dim", 63, "even"}, BadField{"NegativeEps", "/rms_norm_eps", -1e-6, "-1e-06"},
        BadField{"ZeroEps", "/rms_norm_eps", 0, "is 0"}, BadField{"ThetaOne", "/rope_theta", 1, "is 1"},
        BadField{"NoFactor", "/rope_scaling/factor", "<erase>", "is missing"},
        BadField{"SmallFactor", "/rope_scaling/factor", 0.5, "0.5"},
        BadField{"ScalingKind", "/rope_scaling/type", "linear", "'linear', wanted yarn"},
        BadField{"TwoScalingKinds", "/rope_scaling/rope_type", "llama3", "'llama3' but 'type' is 'yarn'"},
        BadField{"Betas", "/rope_scaling/beta_fast", 0.5, "beta_slow"},
        BadField{"ScalingNoObject", "/rope_scaling", 3, "an object"},
        BadField{"AttentionBias", "/attention_bias", true, "is true"},
        BadField{"Activation", "/hidden_act", "gelu", "gelu"},
        BadField{"GroupsDoNotDivide", "/n_group", 7, "divisor of n_routed_experts, 256"},
        BadField{"GroupsOfOne", "/n_group", 256, "leaves 1 expert in a group"},
        BadField{"TooManyGroups", "/topk_group", 9, "at most n_group, 8"},
        BadField{"TooManyChosen", "/num_experts_per_tok", 129, "at most 128"},
        BadField{"Method", "/topk_method", "greedy", "noaux_tc with sigmoid"},
        BadField{"ScalingFactor", "/routed_scaling_factor", 0, "is 0"},
        BadField{"Architecture", "/architectures", json::array({"LlamaForCausalLM"}), "LlamaForCausalLM"},
        BadField{"ArchitectureAgainstType", "/architectures", json::array({"DeepseekV2ForCausalLM"}), "deepseek_v3"},
        BadField{"ArchitectureNumber", "/architectures", json::array({3}), "a list of strings"},
        BadField{"SparseAttention", "/model_type", "deepseek_v32", "sparse attention"},
        BadField{"Eos", "/eos_token_id", 129280, "129280"},
        BadField{"EosList", "/eos_token_id", json::array({1, "2"}), "integers"},
        BadField{"Method8Bit", "/quantization_config/quant_method", "awq", "'awq', wanted fp8"},
        BadField{"E5M2", "/quantization_config/fmt", "e5m2", "'e5m2', wanted e4m3"},
        BadField{"Static", "/quantization_config/activation_scheme", "static", "dynamic"},
        BadField{"Block", "/quantization_config/weight_block_size", json::array({128}), "has 1 entries"},
        BadField{"ScaleFormat", "/quantization_config/scale_fmt", "e3m4", "ue8m0"},
        BadField{"Positions", "/max_position_embeddings", 0, "is 0"},
        BadField{"Mtp", "/num_nextn_predict_layers", -1, "-1"}),
    [](auto& c) { return c.param.test_name; });

TEST(ParseModelConfigTest, RefusesTheV2GateWithNormalizedWeightsUnlessOneExpertIsChosen) {
  json config = json::parse(kV2LiteConfig);
  config["norm_topk_prob"] = true;
  EXPECT_THAT(Parse(config).problems, ElementsAre(HasSubstr("'norm_topk_prob' is true")));
  config["num_experts_per_tok"] = 1;
  ASSERT_THAT(Parse(config).problems, IsEmpty());
  EXPECT_FALSE(Parse(config).config->router.norm_topk_prob);
}

TEST(ParseModelConfigTest, BoundsTheNumberOfExpertsInAllLayers) {
  json config = json::parse(kR1Config);
  config["num_hidden_layers"] = 4096;
  EXPECT_THAT(Parse(config).problems, ElementsAre(HasSubstr("1048576, wanted at most 262144")));
}

TEST(ParseModelConfigTest, ListsEveryFaultNotOnlyTheFirst) {
  json config = json::parse(kR1Config);
  config["hidden_size"] = "x";
  config["vocab_size"] = -5;
  config["rope_scaling"]["factor"] = nullptr;
  const ParsedConfig parsed = ParseModelConfig(config.dump(), R"({"top_p": 2})");
  EXPECT_THAT(parsed.problems, SizeIs(4));
  EXPECT_THAT(parsed.problems, Contains(AllOf(HasSubstr("generation_config.json"), HasSubstr("'top_p'"))));
}

TEST(ParseModelConfigTest, RefusesTextsThatAreNoSoundJsonObject) {
  const std::string r1(kR1Config);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = r1;
    return text.replace(text.find(from), from.size(), to);
  };
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "config.json"},
      {"[]", "wanted a JSON object"},
      {r1.substr(0, r1.size() / 2), "config.json"},
      {deep, "nested deeper"},
      {with("1e-06", "NaN"), "'rms_norm_eps' is NaN"},
      {with("1e-06", "-Infinity"), "'rms_norm_eps' is Infinity"},
      {with("1e-06", "1e999"), "config.json"},
      {with("\"vocab_size\"", "\"hidden_size\": 8, \"vocab_size\""), "'hidden_size' is given twice"},
      {"{\"a\": \"" + std::string(2 << 20, 'x') + "\"}", "wanted at most 1048576"},
      {std::string("{\"a\": \"\xff\xfe\"}"), "config.json"},
  };
  for (const auto& [text, message] : cases) {
    const ParsedConfig parsed = ParseModelConfig(text, std::nullopt);
    EXPECT_FALSE(parsed.config.has_value());
    EXPECT_THAT(parsed.problems, ElementsAre(HasSubstr(message))) << text.substr(0, 100);
  }
}

}  // namespace
}  // namespace tessera
