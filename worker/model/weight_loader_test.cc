#include "worker/model/weight_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "base/status_matchers.h"
#include "kernels/reference/reference_backend.h"
#include "worker/model/memory_plan.h"
#include "worker/model/testing/changed_checkpoint.h"
#include "worker/model/testing/test_rank.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;

// Notes which tensors are asked for.
class WatchedCheckpoint final : public Checkpoint {
 public:
  explicit WatchedCheckpoint(const Checkpoint& original) : original_(original) {}
  const std::string& folder() const override { return original_.folder(); }
  const ModelConfig& config() const override { return original_.config(); }
  absl::StatusOr<MatrixView> FindMatrix(std::string_view name, int64_t rows, int64_t cols) const override {
    asked_.emplace(name);
    return original_.FindMatrix(name, rows, cols);
  }
  absl::StatusOr<std::vector<float>> FindVector(std::string_view name, int64_t size) const override {
    return original_.FindVector(name, size);
  }
  bool Has(std::string_view name) const override { return original_.Has(name); }
  bool Asked(const std::string& name) const { return asked_.contains(name); }

 private:
  const Checkpoint& original_;
  mutable std::set<std::string> asked_;
};

class WeightLoaderTest : public testing::Test {
 protected:
  const std::unique_ptr<Checkpoint> checkpoint_ = OpenOrDie("tests/golden/model/v3");
  const std::unique_ptr<Backend> backend_ = reference::MakeBackend();
};

TEST_F(WeightLoaderTest, ARankReadsItsOwnExpertsOnly) {
  const WatchedCheckpoint watched(*checkpoint_);
  const auto weights = LoadWeights(watched, {.rank = 1, .num_ranks = 4}, *backend_);
  ASSERT_THAT(weights, IsOk());
  EXPECT_EQ(weights->layers[1].moe->experts.size(), 4U);
  for (int expert = 0; expert < 16; ++expert) {
    const std::string name = "model.layers.1.mlp.experts." + std::to_string(expert) + ".gate_proj.weight";
    EXPECT_EQ(watched.Asked(name), expert >= 4 && expert < 8) << name;
  }
  EXPECT_FALSE(watched.Asked("model.layers.3.eh_proj.weight")) << "the MTP module was not asked for";
}

TEST_F(WeightLoaderTest, ReportsEachWeightUpToTheCountItAnnounced) {
  for (const bool mtp : {false, true}) {
    const LoadOptions options{.num_ranks = 2, .mtp = mtp};
    int64_t last = 0;
    ASSERT_THAT(LoadWeights(*checkpoint_, options, *backend_,
                            [&](int64_t done, int64_t total) {
                              EXPECT_TRUE(done == last + 1 || done == total);
                              EXPECT_EQ(total, CountWeights(checkpoint_->config(), options));
                              last = done;
                            }),
                IsOk());
    EXPECT_EQ(last, CountWeights(checkpoint_->config(), options));
  }
}

TEST_F(WeightLoaderTest, TheMtpModuleSharesTablesThatAreCopiesAndLoadsOthers) {
  const auto shared = LoadWeights(*checkpoint_, {.mtp = true}, *backend_);
  ASSERT_THAT(shared, IsOk());
  EXPECT_EQ(shared->mtp->embedding, nullptr);
  EXPECT_EQ(shared->mtp->head, nullptr);
  ChangedCheckpoint changed(*checkpoint_);
  const ModelConfig& config = changed.config();
  const auto flip = [](std::vector<float>& values) { values[0] = -values[0]; };
  changed.ChangeMatrix("model.layers.3.embed_tokens.weight", config.vocab_size, config.hidden_size, flip);
  changed.ChangeMatrix("model.layers.3.shared_head.head.weight", config.vocab_size, config.hidden_size, flip);
  const auto own = LoadWeights(changed, {.mtp = true}, *backend_);
  ASSERT_THAT(own, IsOk());
  EXPECT_NE(own->mtp->embedding, nullptr);
  EXPECT_NE(own->mtp->head, nullptr);
}

TEST_F(WeightLoaderTest, RefusesWeightsThatAreNotFinite) {
  ChangedCheckpoint changed(*checkpoint_);
  const ModelConfig& config = changed.config();
  const std::string name = "model.layers.2.mlp.experts.9.down_proj.weight";
  changed.ChangeMatrix(name, config.hidden_size, config.moe_intermediate_size,
                       [](std::vector<float>& values) { values[5] = std::nanf(""); });
  EXPECT_THAT(LoadWeights(changed, {}, *backend_), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)));
  EXPECT_THAT(LoadWeights(changed, {.check_finite = false}, *backend_), IsOk());
  EXPECT_THAT(LoadWeights(changed, {.rank = 0, .num_ranks = 2}, *backend_), IsOk()) << "expert 9 lives on rank 1";
}

TEST_F(WeightLoaderTest, RefusesMtpWithoutAModule) {
  const auto without = OpenOrDie("tests/golden/model/moonlight");
  EXPECT_THAT(LoadWeights(*without, {.mtp = true}, *backend_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_nextn_predict_layers is 0")));
}

TEST_F(WeightLoaderTest, NamesTheRankCountsThatCanWork) {
  EXPECT_THAT(ValidateRanks(checkpoint_->config(), 8), IsOk());
  EXPECT_THAT(ValidateRanks(checkpoint_->config(), 5),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the 16 routed experts: 1, 2, 4, 8, 16")));
  EXPECT_THAT(ValidateRanks(checkpoint_->config(), -1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("-1")));
  ModelConfig dense = checkpoint_->config();
  dense.n_routed_experts = 0;
  EXPECT_THAT(ValidateRanks(dense, 3), IsOk());
}

TEST_F(WeightLoaderTest, TheMemoryPlanPricesWhatIsLoaded) {
  // The reference backend keeps all packed weights in F32; norms and biases are not priced.
  for (const bool mtp : {false, true}) {
    const LoadOptions options{.rank = 1, .num_ranks = 2, .precision = Precision::kF32, .mtp = mtp};
    const auto weights = LoadWeights(*checkpoint_, options, *backend_);
    ASSERT_THAT(weights, IsOk());
    const auto plan =
        PlanMemory(checkpoint_->config(),
                   {.num_ranks = 2, .precision = Precision::kF32, .mtp = mtp, .step_tokens_max = 16, .num_blocks = 3});
    ASSERT_THAT(plan, IsOk());
    const int64_t embedding_saving = int64_t{2} * checkpoint_->config().vocab_size * checkpoint_->config().hidden_size;
    EXPECT_EQ(plan->weights_bytes, weights->bytes + embedding_saving) << "the table stays in BF16";
    EXPECT_EQ(plan->cache_bytes(), (mtp ? 4 : 3) * 3 * 64 * (24 + 8) * 4);
    EXPECT_GT(plan->workspace_bytes, 0);
  }
}

}  // namespace
}  // namespace tessera
