#include "worker/checkpoint/inspect_checkpoint.h"

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "worker/checkpoint/checkpoint_builder.h"
#include "worker/checkpoint/model_config_samples.h"
#include "worker/checkpoint/parse_model_config.h"

namespace tessera {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

double GiB(int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }
double Billions(int64_t count) { return static_cast<double>(count) / 1e9; }
const PartSize& Part(const ModelSizes& sizes, ModelPart part) { return sizes.main[static_cast<size_t>(part)]; }

ModelConfig Parse(const std::string& text) {
  const ParsedConfig parsed = ParseModelConfig(text, std::nullopt);
  EXPECT_THAT(parsed.problems, IsEmpty());
  return *parsed.config;
}

// Sizes of the published checkpoints.
struct SizeCase {
  std::string name, config;
  double parameters, active, total_gib, routed_gib;
  int64_t cache_bytes;
};
class ModelSizesTest : public testing::TestWithParam<SizeCase> {};
TEST_P(ModelSizesTest, AreThoseOfThePublishedModel) {
  constexpr double kScaleShare = 4.0 / (128 * 128);  // the published number for the experts leaves their scales out
  const SizeCase& expected = GetParam();
  const ModelSizes sizes = ComputeSizes(Parse(expected.config), nullptr);
  EXPECT_NEAR(Billions(sizes.MainTotal().parameters), expected.parameters,
              0.006 * std::max(1.0, expected.parameters / 100));
  EXPECT_NEAR(Billions(sizes.active_parameters), expected.active, 0.5);
  EXPECT_NEAR(GiB(sizes.MainTotal().bytes), expected.total_gib, 0.06);
  EXPECT_NEAR(GiB(Part(sizes, ModelPart::kRoutedExperts).bytes), expected.routed_gib,
              0.06 + expected.routed_gib * kScaleShare);
  EXPECT_EQ(sizes.cache_bytes_per_token, expected.cache_bytes);
}
INSTANTIATE_TEST_SUITE_P(Models, ModelSizesTest,
                         testing::Values(SizeCase{"R1", kR1Config, 671.03, 37, 626.9, 609.0, 70272},
                                         SizeCase{"V2", kV2Config, 235.74, 21, 439.1, 414.8, 69120},
                                         SizeCase{"V2Lite", kV2LiteConfig, 15.71, 2.4, 29.3, 26.8, 31104},
                                         SizeCase{"Moonlight", kMoonlightConfig, 15.96, 2.6, 29.7, 26.8, 31104},
                                         SizeCase{"KimiK2", kKimiK2Config, 1026.4, 32, 958.5, 945.0, 70272}),
                         [](auto& c) { return c.param.name; });

TEST(ModelSizesTest, R1sMtpModuleHasItsOwnCopies) {
  const ModelSizes sizes = ComputeSizes(Parse(kR1Config), nullptr);
  const double copies = 2 * 129280 * 7168 / 1e9;
  EXPECT_NEAR(Billions(sizes.MtpTotal().parameters), 11.6 + copies, 0.1);
  EXPECT_NEAR(GiB(sizes.MtpTotal().bytes), 14.4, 0.06);
  EXPECT_NEAR(static_cast<double>(sizes.MainTotal().bytes + sizes.MtpTotal().bytes) / 1e9, 688.6, 0.1);
}

TEST(ModelSizesTest, PartsAddUpToEveryTensor) {
  const ModelConfig config = Parse(kR1Config);
  int64_t parameters = 0;
  for (const ExpectedTensor& tensor : ExpectedTensors(config)) parameters += tensor.num_values();
  const ModelSizes sizes = ComputeSizes(config, nullptr);
  EXPECT_EQ(sizes.MainTotal().parameters + sizes.MtpTotal().parameters, parameters);
}

TEST(FitTableTest, R1OnEightAndSixteenCards) {
  const ModelConfig config = Parse(kR1Config);
  const ModelSizes sizes = ComputeSizes(config, nullptr);
  const int64_t gib = int64_t{1} << 30;
  // 17.8 + 609 / 8 = 94 GiB of weights, as published, on cards of 141 GB.
  const auto h200 = FitTable(config, sizes, {.memory_bytes = 141'000'000'000, .ranks = {4, 8}, .with_mtp = false});
  ASSERT_THAT(h200, SizeIs(2));
  EXPECT_FALSE(h200[0].fits);
  EXPECT_EQ(h200[0].cache_tokens, 0);
  EXPECT_TRUE(h200[1].fits);
  EXPECT_NEAR(GiB(h200[1].weight_bytes_per_rank), 17.8 + 609.0 / 8, 0.1);
  EXPECT_EQ(h200[1].cache_bytes_per_rank, int64_t{126'900'000'000} - h200[1].weight_bytes_per_rank);
  EXPECT_EQ(h200[1].cache_tokens, h200[1].cache_bytes_per_rank / 70272 * 8);
  const auto h100 = FitTable(config, sizes, {.memory_bytes = 80 * gib, .ranks = {8, 16}, .with_mtp = true});
  EXPECT_FALSE(h100[0].fits);
  EXPECT_TRUE(h100[1].fits);
  EXPECT_NEAR(GiB(h100[1].weight_bytes_per_rank), 17.8 + 3.9 + (609.0 + 10.5) / 16, 0.1);
}

TEST(FitTableTest, RanksThatDoNotDivideTheExpertsAreSaidToBeSo) {
  const ModelConfig config = Parse(kR1Config);
  const auto rows = FitTable(config, ComputeSizes(config, nullptr), {.ranks = {3, 0, -1, 2}});
  ASSERT_THAT(rows, SizeIs(4));
  EXPECT_FALSE(rows[0].divides);
  EXPECT_FALSE(rows[1].divides);
  EXPECT_FALSE(rows[2].divides);
  EXPECT_TRUE(rows[3].divides);
}

TEST(FitTableTest, WithoutARequestItListsThePowersOfTwoThatDivideTheExperts) {
  const ModelConfig config = Parse(kV2Config);  // 160 experts
  std::vector<int32_t> ranks;
  for (const FitRow& row : FitTable(config, ComputeSizes(config, nullptr), {})) ranks.push_back(row.ranks);
  EXPECT_THAT(ranks, ElementsAre(1, 2, 4, 8, 16, 32));
}

TEST(InspectCheckpointTest, MeasuresTheFilesOfAFolder) {
  CheckpointBuilder builder;
  builder.AddTensors();
  builder.tensors.erase("model.layers.2.embed_tokens.weight");
  builder.Add("model.norm.weight", "F32", {12});
  builder.Write();
  const auto inspection = InspectCheckpoint(builder.folder(), {});
  ASSERT_THAT(inspection, IsOk());
  EXPECT_TRUE(inspection->is_measured);
  int64_t bytes = 0;
  for (const auto& [name, tensor] : builder.tensors) bytes += static_cast<int64_t>(tensor.bytes.size());
  EXPECT_EQ(inspection->sizes.MainTotal().bytes + inspection->sizes.MtpTotal().bytes, bytes);
  EXPECT_EQ(inspection->sizes.mtp[static_cast<size_t>(ModelPart::kEmbedding)].parameters, 0);
}

TEST(InspectCheckpointTest, NeedsAConfigOnly) {
  CheckpointBuilder builder;
  builder.WriteFile("config.json", kR1Config);
  const auto folder = InspectCheckpoint(builder.folder(), {.memory_bytes = int64_t{141} << 30, .ranks = {8, 3}});
  ASSERT_THAT(folder, IsOk());
  EXPECT_FALSE(folder->is_measured);
  EXPECT_THAT(folder->warnings, ElementsAre(HasSubstr("estimated from config.json")));
  const auto file = InspectCheckpoint(builder.path("config.json"), {});
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT(file->warnings, IsEmpty());
  EXPECT_THAT(ToText(*folder),
              AllOf(HasSubstr("DeepseekV3ForCausalLM"), HasSubstr("671.03 B"), HasSubstr("70272 bytes a token"),
                    HasSubstr("routed experts"), HasSubstr("does not divide the experts"), HasSubstr("FP8 (E4M3)")));
  const nlohmann::json json = nlohmann::json::parse(ToJson(*folder));
  EXPECT_EQ(json["cache_bytes_per_token"], 70272);
  EXPECT_EQ(json["fit"].size(), 2U);
  EXPECT_EQ(json["fit"][0]["fits"], true);
  EXPECT_GT(json["parts"]["routed experts"]["bytes"], 600LL << 30);
}

TEST(InspectCheckpointTest, RefusesAFaultyConfig) {
  CheckpointBuilder builder;
  builder.WriteFile("config.json", R"({"model_type": "llama"})");
  EXPECT_THAT(InspectCheckpoint(builder.folder(), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("llama"), HasSubstr("vocab_size"))));
  EXPECT_FALSE(InspectCheckpoint(builder.path("nothing"), {}).ok());
}

}  // namespace
}  // namespace tessera
