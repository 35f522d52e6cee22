#include "worker/checkpoint/checkpoint.h"

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "worker/checkpoint/checkpoint_builder.h"
#include "worker/checkpoint/expected_tensors.h"

namespace tessera {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kDownProj[] = "model.layers.1.mlp.experts.3.down_proj.weight";  // [12, 3]

TEST(CheckpointTest, FindsEveryTensorOfACompleteCheckpointInSeveralShards) {
  CheckpointBuilder builder;
  builder.AddTensors();
  int shard = 0;
  for (auto& [name, tensor] : builder.tensors) tensor.shard = shard++ % 3;
  builder.Write();
  const auto checkpoint = Checkpoint::Open(builder.folder());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ((*checkpoint)->config().num_nextn_predict_layers, 1);
  for (const ExpectedTensor& expected : ExpectedTensors((*checkpoint)->config())) {
    EXPECT_TRUE((*checkpoint)->Has(expected.name));
    if (expected.is_vector()) {
      const auto found = (*checkpoint)->FindVector(expected.name, expected.rows);
      ASSERT_THAT(found, IsOk());
      EXPECT_EQ(*found, std::vector<float>(static_cast<size_t>(expected.rows), 1.0F));
    } else {
      EXPECT_THAT((*checkpoint)->FindMatrix(expected.name, expected.rows, expected.cols), IsOk());
    }
  }
}

TEST(CheckpointTest, AViewHoldsTheBytesOfTheFile) {
  CheckpointBuilder builder;
  builder.AddTensors();
  std::vector<float> values;
  for (int i = 0; i < 36; ++i) values.push_back(static_cast<float>(i) - 7.5F);
  builder.tensors[kDownProj].bytes = FloatBytes("BF16", values);
  builder.Write();
  const auto checkpoint = Checkpoint::Open(builder.folder());
  ASSERT_THAT(checkpoint, IsOk());
  const auto view = (*checkpoint)->FindMatrix(kDownProj, 12, 3);
  ASSERT_THAT(view, IsOk());
  std::vector<float> output(36);
  EXPECT_EQ(view->dtype, DType::kBF16);
  Dequantize(*view, output.data());
  EXPECT_EQ(output, values);
  (*checkpoint)->WillNeed(kDownProj);
  (*checkpoint)->DontNeed(kDownProj);
  Dequantize(*view, output.data());
  EXPECT_EQ(output, values) << "a hint changed what is read";
}

TEST(CheckpointTest, NamesFileTensorAndSizesWhenAskedForAnotherShape) {
  CheckpointBuilder builder;
  builder.AddTensors();
  builder.Write();
  const auto checkpoint = Checkpoint::Open(builder.folder());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_THAT((*checkpoint)->FindMatrix(kDownProj, 3, 12),
              StatusIs(StatusCode::kInvalidArgument, AllOf(HasSubstr("model.safetensors"), HasSubstr(kDownProj),
                                                           HasSubstr("BF16 [12, 3]"), HasSubstr("[3, 12]"))));
  EXPECT_THAT((*checkpoint)->FindVector("model.nurm.weight", 12),
              StatusIs(StatusCode::kNotFound, HasSubstr("model.nurm.weight")));
  EXPECT_FALSE((*checkpoint)->Has("model.nurm.weight"));
}

TEST(CheckpointTest, Fp8ViewsCarryTheirScalesAndTheBlockSizesOfTheConfig) {
  CheckpointBuilder builder;
  builder.config["quantization_config"] = {{"quant_method", "fp8"}, {"fmt", "e4m3"}, {"weight_block_size", {5, 2}}};
  builder.AddTensors();
  auto& scale = builder.tensors[std::string(kDownProj) + "_scale_inv"];
  ASSERT_THAT(scale.shape, ElementsAre(3, 2));
  scale.bytes = FloatBytes("F32", {1, 2, 3, 4, 5, 6});
  builder.Write();
  const auto checkpoint = Checkpoint::Open(builder.folder());
  ASSERT_THAT(checkpoint, IsOk());
  const auto view = (*checkpoint)->FindMatrix(kDownProj, 12, 3);
  ASSERT_THAT(view, IsOk());
  std::vector<float> output(36);
  Dequantize(*view, output.data());
  for (size_t row = 0; row < 12; ++row) {
    for (size_t col = 0; col < 3; ++col) {
      EXPECT_EQ(output[row * 3 + col], static_cast<float>(row / 5 * 2 + col / 2 + 1)) << row << ", " << col;
    }
  }
}

struct ScaleCase {
  std::string dtype, bytes;
  float value;
};
class ScaleFormatTest : public testing::TestWithParam<ScaleCase> {};
TEST_P(ScaleFormatTest, IsConvertedToF32) {
  CheckpointBuilder builder;
  builder.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}};
  builder.AddTensors();
  auto& scale = builder.tensors[std::string(kDownProj) + "_scale_inv"];
  scale.dtype = GetParam().dtype;
  scale.bytes = GetParam().bytes;
  builder.Write();
  const auto checkpoint = Checkpoint::Open(builder.folder());
  ASSERT_THAT(checkpoint, IsOk());
  const auto view = (*checkpoint)->FindMatrix(kDownProj, 12, 3);
  ASSERT_THAT(view, IsOk());
  EXPECT_EQ(view->scale[0], GetParam().value);
}
INSTANTIATE_TEST_SUITE_P(Formats, ScaleFormatTest,
                         testing::Values(ScaleCase{"F32", FloatBytes("F32", {0.3F}), 0.3F},
                                         ScaleCase{"BF16", FloatBytes("BF16", {1.5F}), 1.5F},
                                         ScaleCase{"F16", std::string("\x00\xbe", 2), -1.5F},
                                         ScaleCase{"F8_E8M0", "\x7d", 0.25F}),
                         [](auto& c) { return c.param.dtype; });

TEST(CheckpointTest, TheRouterBiasKeepsThePrecisionThatTheFileHas) {
  constexpr char kBias[] = "model.layers.1.mlp.gate.e_score_correction_bias";
  const std::vector<float> values = {12.0001F, -11.9999F, 0.1F, -3};  // none but the last fits into BF16
  for (const bool is_f32 : {true, false}) {
    CheckpointBuilder builder;
    builder.AddTensors();
    builder.Add(kBias, is_f32 ? "F32" : "BF16", {4});
    builder.tensors[kBias].bytes = FloatBytes(is_f32 ? "F32" : "BF16", values);
    builder.Write();
    const auto checkpoint = Checkpoint::Open(builder.folder());
    ASSERT_THAT(checkpoint, IsOk());
    const std::vector<float> bias = *(*checkpoint)->FindVector(kBias, 4);
    if (is_f32) {
      EXPECT_EQ(bias, values);
    } else {
      EXPECT_THAT(bias, ElementsAre(12, -12, testing::FloatNear(0.1F, 1e-3F), -3));
    }
  }
}

TEST(CheckpointTest, TensorsAtOddAddressesAreReadRight) {
  CheckpointBuilder builder;
  builder.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}};
  builder.AddTensors();
  builder.Add("a.rotary_emb.inv_freq", "F8_E4M3", {1});  // one byte in front of all others
  builder.tensors["model.layers.0.input_layernorm.weight"].bytes =
      FloatBytes("BF16", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  builder.tensors["model.embed_tokens.weight"].bytes = FloatBytes("BF16", std::vector<float>(240, 3));
  builder.Write();
  const auto checkpoint = Checkpoint::Open(builder.folder());
  ASSERT_THAT(checkpoint, IsOk());
  for (const ExpectedTensor& expected : ExpectedTensors((*checkpoint)->config())) {
    if (expected.is_vector()) continue;
    const auto view = (*checkpoint)->FindMatrix(expected.name, expected.rows, expected.cols);
    ASSERT_THAT(view, IsOk());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view->data) % static_cast<uintptr_t>(SizeOf(view->dtype)), 0U);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view->scale) % alignof(float), 0U);
  }
  EXPECT_THAT(*(*checkpoint)->FindVector("model.layers.0.input_layernorm.weight", 12),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  const auto embedding = (*checkpoint)->FindMatrix("model.embed_tokens.weight", 20, 12);
  std::vector<float> values(240);
  Dequantize(*embedding, values.data());
  EXPECT_EQ(values, std::vector<float>(240, 3));
}

TEST(CheckpointTest, ATiedHeadIsTheEmbeddingAlsoForTheMtpModule) {
  CheckpointBuilder builder;
  builder.config["tie_word_embeddings"] = true;
  builder.AddTensors();
  for (const char* name :
       {"lm_head.weight", "model.layers.2.embed_tokens.weight", "model.layers.2.shared_head.head.weight"}) {
    builder.tensors.erase(name);
  }
  builder.Write();
  const auto checkpoint = Checkpoint::Open(builder.folder());
  ASSERT_THAT(checkpoint, IsOk());
  const auto embedding = (*checkpoint)->FindMatrix("model.embed_tokens.weight", 20, 12);
  for (const char* name :
       {"lm_head.weight", "model.layers.2.embed_tokens.weight", "model.layers.2.shared_head.head.weight"}) {
    const auto view = (*checkpoint)->FindMatrix(name, 20, 12);
    ASSERT_THAT(view, IsOk());
    EXPECT_EQ(view->data, embedding->data) << name;
    EXPECT_TRUE((*checkpoint)->Has(name));
  }
}

TEST(CheckpointTest, AHeadInTheFileOfATiedModelIsNotUsed) {
  CheckpointBuilder builder;
  builder.config["tie_word_embeddings"] = true;
  builder.AddTensors();
  builder.Write();
  const auto checkpoint = Checkpoint::Open(builder.folder());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ((*checkpoint)->FindMatrix("lm_head.weight", 20, 12)->data,
            (*checkpoint)->FindMatrix("model.embed_tokens.weight", 20, 12)->data);
}

TEST(CheckpointTest, MtpCopiesInTheFileAreUsedAndThoseMissingAreTheMainTensors) {
  CheckpointBuilder builder;
  builder.AddTensors();
  builder.tensors.erase("model.layers.2.shared_head.head.weight");
  builder.Write();
  const auto checkpoint = Checkpoint::Open(builder.folder());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ((*checkpoint)->FindMatrix("model.layers.2.shared_head.head.weight", 20, 12)->data,
            (*checkpoint)->FindMatrix("lm_head.weight", 20, 12)->data);
  EXPECT_NE((*checkpoint)->FindMatrix("model.layers.2.embed_tokens.weight", 20, 12)->data,
            (*checkpoint)->FindMatrix("model.embed_tokens.weight", 20, 12)->data);
}

TEST(CheckpointTest, RefusesWithAllProblemsUpToALimit) {
  CheckpointBuilder builder;
  builder.AddTensors();
  builder.tensors.erase("lm_head.weight");
  builder.Add("foo.weight", "BF16", {2});
  builder.Write();
  EXPECT_THAT(Checkpoint::Open(builder.folder()),
              StatusIs(StatusCode::kInvalidArgument, AllOf(HasSubstr("lm_head.weight"), HasSubstr("foo.weight"))));
  EXPECT_THAT(Checkpoint::Open("/nowhere/at/all"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("/nowhere/at/all")));
}

}  // namespace
}  // namespace tessera
