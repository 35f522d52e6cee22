#include "worker/checkpoint/expected_tensors.h"

#include <map>
#include <set>

#include "gmock/gmock.h"
#include "worker/checkpoint/match_tensors.h"
#include "worker/checkpoint/model_config_samples.h"
#include "worker/checkpoint/parse_model_config.h"

namespace tessera {
namespace {

using testing::ElementsAre;

ModelConfig Parse(const char* text) { return *ParseModelConfig(text, std::nullopt).config; }

// name → [rows, cols]; cols 0 for a vector.
std::map<std::string, std::pair<int64_t, int64_t>> Shapes(const ModelConfig& config) {
  std::map<std::string, std::pair<int64_t, int64_t>> shapes;
  for (const ExpectedTensor& tensor : ExpectedTensors(config)) {
    EXPECT_TRUE(shapes.emplace(tensor.name, std::pair(tensor.rows, tensor.cols)).second) << tensor.name << " twice";
  }
  return shapes;
}

TEST(ExpectedTensorsTest, R1HasThisManyWeightsAndScales) {
  int64_t count = 0;
  for (const ExpectedTensor& tensor : ExpectedTensors(Parse(kR1Config))) count += tensor.is_quantized ? 2 : 1;
  constexpr int kAttention = 5 * 2 + 2;      // projections with scales, norms
  constexpr int kDense = 2 + 3 * 2;          // norms, MLP
  constexpr int kMoe = 2 + 2 + 257 * 3 * 2;  // norms, router and its bias, experts with the shared one
  constexpr int kMtp = 6;                    // copies of embedding and head, three norms, eh_proj
  EXPECT_EQ(count, 3 + 62 * kAttention + 3 * kDense + 59 * kMoe + kMtp);
}

TEST(ExpectedTensorsTest, R1sShapesAreThoseOfThePaper) {
  auto shapes = Shapes(Parse(kR1Config));
  using Shape = std::pair<int64_t, int64_t>;
  EXPECT_EQ(shapes["model.embed_tokens.weight"], Shape(129280, 7168));
  EXPECT_EQ(shapes["model.layers.0.self_attn.q_a_proj.weight"], Shape(1536, 7168));
  EXPECT_EQ(shapes["model.layers.0.self_attn.q_b_proj.weight"], Shape(128 * 192, 1536));
  EXPECT_EQ(shapes["model.layers.0.self_attn.kv_a_proj_with_mqa.weight"], Shape(576, 7168));
  EXPECT_EQ(shapes["model.layers.0.self_attn.kv_a_layernorm.weight"], Shape(512, 0));
  EXPECT_EQ(shapes["model.layers.0.self_attn.kv_b_proj.weight"], Shape(128 * 256, 512));
  EXPECT_EQ(shapes["model.layers.0.self_attn.o_proj.weight"], Shape(7168, 128 * 128));
  EXPECT_EQ(shapes["model.layers.2.mlp.down_proj.weight"], Shape(7168, 18432));
  EXPECT_EQ(shapes["model.layers.3.mlp.gate.weight"], Shape(256, 7168));
  EXPECT_EQ(shapes["model.layers.3.mlp.gate.e_score_correction_bias"], Shape(256, 0));
  EXPECT_EQ(shapes["model.layers.60.mlp.experts.255.up_proj.weight"], Shape(2048, 7168));
  EXPECT_EQ(shapes["model.layers.60.mlp.shared_experts.down_proj.weight"], Shape(7168, 2048));
  EXPECT_EQ(shapes["model.layers.61.eh_proj.weight"], Shape(7168, 14336));
  EXPECT_EQ(shapes["model.layers.61.shared_head.head.weight"], Shape(129280, 7168));
  EXPECT_EQ(shapes["model.layers.61.mlp.experts.0.gate_proj.weight"], Shape(2048, 7168));
  EXPECT_FALSE(shapes.contains("model.layers.2.mlp.gate.weight"));
  EXPECT_FALSE(shapes.contains("model.layers.3.mlp.gate_proj.weight"));
}

TEST(ExpectedTensorsTest, V2LiteHasOneQueryProjectionNoBiasAndFusedSharedExperts) {
  auto shapes = Shapes(Parse(kV2LiteConfig));
  using Shape = std::pair<int64_t, int64_t>;
  EXPECT_EQ(shapes["model.layers.0.self_attn.q_proj.weight"], Shape(16 * 192, 2048));
  EXPECT_FALSE(shapes.contains("model.layers.0.self_attn.q_a_proj.weight"));
  EXPECT_FALSE(shapes.contains("model.layers.1.mlp.gate.e_score_correction_bias"));
  EXPECT_EQ(shapes["model.layers.1.mlp.shared_experts.up_proj.weight"], Shape(2 * 1408, 2048));
  EXPECT_FALSE(shapes.contains("model.layers.27.eh_proj.weight"));
}

TEST(ExpectedTensorsTest, TheMtpModuleHasExpertsEvenIfTheLayerOfItsNumberWouldNot) {
  ModelConfig config = Parse(kR1Config);
  config.num_hidden_layers = 1;  // fewer than first_k_dense_replace
  EXPECT_TRUE(Shapes(config).contains("model.layers.1.mlp.gate.weight"));
}

TEST(ExpectedTensorsTest, OnlyWhatPublishedCheckpointsQuantizeIsQuantized) {
  std::set<std::string> plain;
  for (const ExpectedTensor& tensor : ExpectedTensors(Parse(kR1Config))) {
    if (!tensor.is_vector() && !tensor.is_quantized && !tensor.name.ends_with(".mlp.gate.weight")) {
      plain.insert(tensor.name);
    }
  }
  EXPECT_THAT(plain, ElementsAre("lm_head.weight", "model.embed_tokens.weight", "model.layers.61.eh_proj.weight",
                                 "model.layers.61.embed_tokens.weight", "model.layers.61.shared_head.head.weight"));
}

TEST(ExpectedTensorsTest, TheEdgeBlockOfAScaleGridCounts) {
  const ModelConfig config = Parse(kR1Config);
  EXPECT_THAT(ScaleShape(config, 576, 7168), ElementsAre(5, 56));
  EXPECT_THAT(ScaleShape(config, 1, 128), ElementsAre(1, 1));
  EXPECT_THAT(ScaleShape(config, 130, 129), ElementsAre(2, 2));
}

}  // namespace
}  // namespace tessera
