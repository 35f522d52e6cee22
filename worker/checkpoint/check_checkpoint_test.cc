#include "worker/checkpoint/check_checkpoint.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "worker/checkpoint/checkpoint_builder.h"

namespace tessera {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr char kUpProj[] = "model.layers.1.mlp.experts.2.up_proj.weight";  // [3, 12]

// A checkpoint in two shards: layer 0 and the rest.
class CheckCheckpointTest : public testing::Test {
 protected:
  void AddTensorsInTwoShards() {
    builder_.AddTensors();
    for (auto& [name, tensor] : builder_.tensors) tensor.shard = name.starts_with("model.layers.0.") ? 0 : 1;
  }
  CheckReport WriteAndCheck() {
    builder_.Write();
    return CheckCheckpoint(builder_.folder());
  }
  void UseFp8(int rows = 128, int cols = 128) {
    builder_.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {rows, cols}}};
  }

  CheckpointBuilder builder_;
  const std::string shard0_ = "model-00001-of-00002.safetensors";
  const std::string shard1_ = "model-00002-of-00002.safetensors";
  const std::string index_ = "model.safetensors.index.json";
};

TEST_F(CheckCheckpointTest, PassesACompleteCheckpointAndCountsIt) {
  AddTensorsInTwoShards();
  const CheckReport report = WriteAndCheck();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.warnings, IsEmpty());
  EXPECT_EQ(report.num_files, 2);
  EXPECT_EQ(report.num_tensors, static_cast<int64_t>(builder_.tensors.size()));
  EXPECT_THAT(ToText(report), HasSubstr("complete"));
}

TEST_F(CheckCheckpointTest, ListsEveryFaultAtOnce) {
  AddTensorsInTwoShards();
  builder_.config["rms_norm_eps"] = -1;
  builder_.Write();
  std::filesystem::remove(builder_.path(shard0_));
  builder_.WriteFile(shard1_, builder_.ReadFile(shard1_) + "x");
  const CheckReport report = CheckCheckpoint(builder_.folder());
  EXPECT_THAT(report.problems,
              UnorderedElementsAre(HasSubstr("rms_norm_eps"), AllOf(HasSubstr(shard0_), HasSubstr("missing")),
                                   AllOf(HasSubstr(shard1_), HasSubstr("1 bytes after"))));
  EXPECT_THAT(ToText(report), AllOf(HasSubstr("error: "), HasSubstr("3 errors")));
}

// --- files ---

TEST_F(CheckCheckpointTest, RefusesAShardCutAnywhere) {
  AddTensorsInTwoShards();
  builder_.Write();
  const std::string whole = builder_.ReadFile(shard1_);
  for (const size_t size : {whole.size() - 1, whole.size() / 2, size_t{300}, size_t{8}, size_t{5}, size_t{0}}) {
    builder_.WriteFile(shard1_, whole.substr(0, size));
    EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems, ElementsAre(HasSubstr(shard1_))) << size;
  }
}

TEST_F(CheckCheckpointTest, RefusesAMissingShardAndAFolderInItsPlace) {
  AddTensorsInTwoShards();
  builder_.Write();
  std::filesystem::remove(builder_.path(shard0_));
  EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems,
              ElementsAre(AllOf(HasSubstr(shard0_), HasSubstr("missing"))));
  std::filesystem::create_directory(builder_.path(shard0_));
  EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems,
              ElementsAre(AllOf(HasSubstr(shard0_), HasSubstr("not a regular file"))));
}

TEST_F(CheckCheckpointTest, RefusesATensorThatIsInTwoShards) {
  AddTensorsInTwoShards();
  builder_.Write();
  CheckpointBuilder other;
  other.Add("model.norm.weight", "BF16", {12});
  other.Write();
  std::filesystem::copy_file(other.path("model.safetensors"), builder_.path("extra.safetensors"));
  json index = json::parse(builder_.ReadFile(index_));
  index["weight_map"]["model.norm.weight"] = "extra.safetensors";
  builder_.WriteFile(index_, index.dump());
  EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems,
              Contains(AllOf(HasSubstr("'model.norm.weight' is in extra.safetensors too"), HasSubstr(shard1_))));
}

TEST_F(CheckCheckpointTest, RefusesAnIndexThatDisagreesWithTheFiles) {
  AddTensorsInTwoShards();
  builder_.Write();
  const json right = json::parse(builder_.ReadFile(index_));
  json index = right;
  index["weight_map"].erase("model.norm.weight");
  builder_.WriteFile(index_, index.dump());
  EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems,
              ElementsAre(HasSubstr("'model.norm.weight' is not in " + index_)));
  index = right;
  index["weight_map"]["model.norm.weight"] = shard0_;
  builder_.WriteFile(index_, index.dump());
  EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems,
              ElementsAre(AllOf(HasSubstr("'model.norm.weight' is in " + shard1_), HasSubstr(shard0_))));
  index = right;
  index["weight_map"]["nothing.weight"] = shard0_;
  builder_.WriteFile(index_, index.dump());
  EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems,
              ElementsAre(AllOf(HasSubstr("'nothing.weight' is not in the file"), HasSubstr(shard0_))));
}

TEST_F(CheckCheckpointTest, RefusesAnIndexThatReachesOutOfTheFolder) {
  AddTensorsInTwoShards();
  builder_.Write();
  json index = json::parse(builder_.ReadFile(index_));
  for (const char* place : {"../"
                            "model.safetensors",
                            "/etc/passwd", "a/b.safetensors", "config.json", "", ".."}) {
    index["weight_map"]["model.norm.weight"] = place;
    builder_.WriteFile(index_, index.dump());
    EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems,
                Contains(AllOf(HasSubstr("'model.norm.weight' is mapped to"), HasSubstr(place))));
  }
  index["weight_map"]["model.norm.weight"] = 7;
  builder_.WriteFile(index_, index.dump());
  EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems, Contains(HasSubstr("mapped to 7")));
}

TEST_F(CheckCheckpointTest, RefusesAnIndexThatIsNone) {
  AddTensorsInTwoShards();
  builder_.Write();
  for (const char* text : {"", "[]", "{}", R"({"weight_map": []})", R"({"weight_map": {}})", "{\"weight_map\": "}) {
    builder_.WriteFile(index_, text);
    EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems, ElementsAre(HasSubstr(index_))) << text;
  }
}

TEST_F(CheckCheckpointTest, RefusesAFolderWithoutWeightsOrIndex) {
  AddTensorsInTwoShards();
  builder_.Write();
  std::filesystem::remove(builder_.path(index_));
  EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems, ElementsAre(HasSubstr("but 2 other safetensors files")));
  std::filesystem::remove(builder_.path("config.json"));
  EXPECT_THAT(CheckCheckpoint(builder_.folder()).problems, Contains(HasSubstr("config.json")));
  EXPECT_THAT(CheckCheckpoint(builder_.path("nowhere")).problems, ElementsAre(HasSubstr("not a folder")));
}

TEST_F(CheckCheckpointTest, WarnsOfAWrongTotalAndOfFilesThatAreNotUsed) {
  AddTensorsInTwoShards();
  builder_.Write();
  json index = json::parse(builder_.ReadFile(index_));
  index["metadata"]["total_size"] = 5;
  builder_.WriteFile(index_, index.dump());
  builder_.WriteFile("consolidated.safetensors", "");
  const CheckReport report = CheckCheckpoint(builder_.folder());
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.warnings,
              ElementsAre(AllOf(HasSubstr("total_size"), HasSubstr("is 5")), HasSubstr("consolidated.safetensors")));
}

// --- tensors ---

TEST_F(CheckCheckpointTest, RefusesAMissingTensorWithItsShape) {
  builder_.AddTensors();
  builder_.tensors.erase(kUpProj);
  EXPECT_THAT(WriteAndCheck().problems,
              ElementsAre(AllOf(HasSubstr(std::string("'") + kUpProj + "' is missing"), HasSubstr("[3, 12]"))));
}

TEST_F(CheckCheckpointTest, TellsOfManyMissingTensorsInOneLine) {
  builder_.AddTensors();
  std::erase_if(builder_.tensors, [](const auto& item) {
    return item.first.ends_with("up_proj.weight") && item.first.find("experts.") != std::string::npos &&
           item.first.find("shared") == std::string::npos;
  });
  EXPECT_THAT(WriteAndCheck().problems,
              ElementsAre(AllOf(HasSubstr("'model.layers.*.mlp.experts.*.up_proj.weight' is missing"),
                                HasSubstr("8 tensors; the first is 'model.layers.1.mlp.experts.0.up_proj.weight'"))));
}

TEST_F(CheckCheckpointTest, RefusesASurplusTensor) {
  builder_.AddTensors();
  builder_.Add("foo.weight", "BF16", {2});
  builder_.Add("model.layers.0.self_attn.o_proj.bias", "BF16", {12});
  EXPECT_THAT(WriteAndCheck().problems, ElementsAre(HasSubstr("'foo.weight' is surplus"),
                                                    HasSubstr("'model.layers.0.self_attn.o_proj.bias' is surplus")));
}

TEST_F(CheckCheckpointTest, RefusesWrongShapes) {
  builder_.AddTensors();
  builder_.Add(kUpProj, "BF16", {12, 3});
  builder_.Add("model.norm.weight", "BF16", {12, 1});
  builder_.Add("model.embed_tokens.weight", "BF16", {21, 12});
  EXPECT_THAT(
      WriteAndCheck().problems,
      UnorderedElementsAre(AllOf(HasSubstr("'model.embed_tokens.weight' is BF16 [21, 12]"), HasSubstr("[20, 12]")),
                           AllOf(HasSubstr(kUpProj), HasSubstr("BF16 [12, 3], config.json asks for [3, 12]")),
                           AllOf(HasSubstr("'model.norm.weight' is BF16 [12, 1]"), HasSubstr("[12]"))));
}

TEST_F(CheckCheckpointTest, TakesEveryNumberFormatThatIsAWeightAndNoOther) {
  builder_.AddTensors();
  for (const char* dtype : {"F32", "F16", "BF16"}) {
    builder_.Add(kUpProj, dtype, {3, 12});
    builder_.Add("model.norm.weight", dtype, {12});
    builder_.Add("model.layers.1.mlp.gate.e_score_correction_bias", dtype, {4});
    EXPECT_THAT(WriteAndCheck().problems, IsEmpty()) << dtype;
  }
  for (const char* dtype : {"F64", "I8", "U8", "F8_E5M2", "F8_E8M0", "BOOL", "I64"}) {
    builder_.Add(kUpProj, dtype, {3, 12});
    EXPECT_THAT(WriteAndCheck().problems, ElementsAre(AllOf(HasSubstr(kUpProj), HasSubstr(std::string("is ") + dtype),
                                                            HasSubstr("wanted BF16"))));
  }
  builder_.Add(kUpProj, "BF16", {3, 12});
  builder_.Add("model.norm.weight", "F8_E4M3", {12});
  EXPECT_THAT(WriteAndCheck().problems, ElementsAre(AllOf(HasSubstr("model.norm.weight"), HasSubstr("is F8_E4M3"))));
}

TEST_F(CheckCheckpointTest, RefusesAMissingRouterBias) {
  builder_.AddTensors();
  builder_.tensors.erase("model.layers.1.mlp.gate.e_score_correction_bias");
  EXPECT_THAT(WriteAndCheck().problems, ElementsAre(HasSubstr("e_score_correction_bias' is missing")));
}

TEST_F(CheckCheckpointTest, RefusesMoreLayersThanTheConfigHas) {
  builder_.config["num_hidden_layers"] = 3;
  builder_.config["num_nextn_predict_layers"] = 0;
  builder_.AddTensors();
  builder_.config["num_hidden_layers"] = 2;
  const CheckReport report = WriteAndCheck();
  EXPECT_THAT(report.problems, Contains(HasSubstr("'model.layers.2.mlp.gate.weight' is surplus")));
}

TEST_F(CheckCheckpointTest, IgnoresRotaryBuffersWithOneWarning) {
  builder_.AddTensors();
  builder_.Add("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {1});
  builder_.Add("model.layers.1.self_attn.rotary_emb.inv_freq", "F32", {1});
  const CheckReport report = WriteAndCheck();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.warnings, ElementsAre(AllOf(HasSubstr("inv_freq' is ignored"), HasSubstr("2 tensors"))));
}

// --- FP8 ---

TEST_F(CheckCheckpointTest, TakesFp8WithTheBlockSizesOfTheConfig) {
  for (const auto& [rows, cols] : {std::pair(128, 128), std::pair(64, 128), std::pair(2, 5), std::pair(1, 1)}) {
    UseFp8(rows, cols);
    builder_.tensors.clear();
    builder_.AddTensors();
    EXPECT_THAT(WriteAndCheck().problems, IsEmpty()) << rows << " × " << cols;
  }
}

TEST_F(CheckCheckpointTest, RefusesFp8WithoutItsScaleAndAScaleWithoutItsWeight) {
  UseFp8();
  builder_.AddTensors();
  builder_.tensors.erase(std::string(kUpProj) + "_scale_inv");
  builder_.Add("model.embed_tokens.weight_scale_inv", "F32", {1, 1});
  builder_.Add("foo.weight_scale_inv", "F32", {1, 1});
  EXPECT_THAT(
      WriteAndCheck().problems,
      UnorderedElementsAre(AllOf(HasSubstr(kUpProj), HasSubstr("F8_E4M3 without its scales"), HasSubstr("[1, 1]")),
                           HasSubstr("'model.embed_tokens.weight_scale_inv' is a surplus scale: its weight is BF16"),
                           HasSubstr("'foo.weight_scale_inv' is a surplus scale: its weight is not there")));
}

TEST_F(CheckCheckpointTest, RefusesAScaleThatIsMisshapedTransposedOrOfAnotherFormat) {
  UseFp8(2, 5);
  builder_.AddTensors();
  const std::string name = std::string(kUpProj) + "_scale_inv";
  ASSERT_THAT(builder_.tensors[name].shape, ElementsAre(2, 3));
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{3, 2}, {1, 2}, {2}, {6}, {2, 3, 1}}) {
    builder_.Add(name, "F32", shape);
    EXPECT_THAT(WriteAndCheck().problems,
                ElementsAre(AllOf(HasSubstr(name), HasSubstr("wanted [2, 3] for a weight of [3, 12]"))));
  }
  builder_.Add(name, "I32", {2, 3});
  EXPECT_THAT(WriteAndCheck().problems, ElementsAre(AllOf(HasSubstr(name), HasSubstr("is I32"))));
}

TEST_F(CheckCheckpointTest, FollowsTheFilesWhereTheConfigSaysNothingOfFp8) {
  UseFp8();
  builder_.AddTensors();
  builder_.config.erase("quantization_config");
  const CheckReport report = WriteAndCheck();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.warnings, ElementsAre(HasSubstr("no 'quantization_config'")));
}

// --- MTP module, tied weights ---

TEST_F(CheckCheckpointTest, AnMtpModuleThatIsAnnouncedButNotThereIsServedWithout) {
  builder_.AddTensors();
  std::erase_if(builder_.tensors, [](const auto& item) { return item.first.starts_with("model.layers.2."); });
  const CheckReport report = WriteAndCheck();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.warnings, ElementsAre(HasSubstr("served without the MTP module")));
  EXPECT_EQ(report.config->num_nextn_predict_layers, 0);
}

TEST_F(CheckCheckpointTest, AnIncompleteMtpModuleIsRefused) {
  builder_.AddTensors();
  builder_.tensors.erase("model.layers.2.enorm.weight");
  EXPECT_THAT(WriteAndCheck().problems, ElementsAre(HasSubstr("'model.layers.2.enorm.weight' is missing")));
}

TEST_F(CheckCheckpointTest, AnMtpModuleThatIsNotAnnouncedIsIgnored) {
  builder_.AddTensors();
  builder_.config["num_nextn_predict_layers"] = 0;
  const CheckReport report = WriteAndCheck();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.warnings, ElementsAre(HasSubstr("model.layers.2.*: ignored")));
}

TEST_F(CheckCheckpointTest, OfTwoMtpModulesTheFirstIsUsed) {
  builder_.config["num_nextn_predict_layers"] = 2;
  builder_.AddTensors();
  ASSERT_TRUE(builder_.tensors.contains("model.layers.3.eh_proj.weight"));
  const CheckReport report = WriteAndCheck();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.warnings, ElementsAre(HasSubstr("the first MTP module is used"), HasSubstr("model.layers.3.*")));
  EXPECT_EQ(report.config->num_nextn_predict_layers, 1);
}

TEST_F(CheckCheckpointTest, TheMtpModulesCopiesOfEmbeddingAndHeadMayBeLeftOut) {
  builder_.AddTensors();
  builder_.tensors.erase("model.layers.2.embed_tokens.weight");
  builder_.tensors.erase("model.layers.2.shared_head.head.weight");
  EXPECT_THAT(WriteAndCheck().problems, IsEmpty());
}

TEST_F(CheckCheckpointTest, AHeadMayBeLeftOutOnlyIfItIsTied) {
  builder_.AddTensors();
  builder_.tensors.erase("lm_head.weight");
  EXPECT_THAT(WriteAndCheck().problems, ElementsAre(HasSubstr("'lm_head.weight' is missing")));
  builder_.config["tie_word_embeddings"] = true;
  EXPECT_THAT(WriteAndCheck().problems, IsEmpty());
}

}  // namespace
}  // namespace tessera
