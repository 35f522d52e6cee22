#include "kernels/router.h"

#include <limits>
#include <set>

#include "kernels/cpu/forms.h"
#include "kernels/problems.h"
#include "kernels/reference/reference_backend.h"

namespace tessera::cpu {
namespace {

struct Routing {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

struct RouterProblem {
  int64_t num_experts;
  std::vector<float> logits;
  std::vector<float> bias;
  RouterParams params;

  Routing Run(Backend& backend) const {
    const int64_t num_tokens = static_cast<int64_t>(logits.size()) / num_experts;
    const int64_t k = params.num_experts_per_tok;
    Routing routing = {std::vector<int32_t>(static_cast<size_t>(num_tokens * k), -7),
                       std::vector<float>(static_cast<size_t>(num_tokens * k), -7.0F)};
    const RouterArgs args = {.logits = {logits.data(), {num_tokens, num_experts}},
                             .bias = {bias.data(), {static_cast<int64_t>(bias.size())}},
                             .params = params,
                             .experts = {routing.experts.data(), {num_tokens, k}},
                             .weights = {routing.weights.data(), {num_tokens, k}}};
    TESSERA_CHECK_OK(Validate(args));
    TESSERA_CHECK_OK(backend.Router(args));
    return routing;
  }
};

constexpr RouterParams kV3 = {.num_experts_per_tok = 8, .n_group = 8, .topk_group = 4, .routed_scaling_factor = 2.5F};

class RouterTest : public EveryFormTest {
 protected:
  // Runs both, compares them and returns the form's.
  Routing ExpectMatchesReference(const RouterProblem& problem) {
    const Routing wanted = problem.Run(*reference::MakeBackend());
    Routing got = problem.Run(*MakeForm());
    EXPECT_EQ(got.experts, wanted.experts);
    EXPECT_THAT(got.weights, IsCloseTo(wanted.weights, 1e-6F));
    return got;
  }
};
INSTANTIATE_TEST_SUITE_P(Forms, RouterTest, kEveryForm, FormName);

TEST_P(RouterTest, MatchesTheReferenceForEveryMethodAndSize) {
  Numbers numbers(1);
  for (const int64_t num_experts : {8, 64, 130, 256, 384}) {
    for (const TopkMethod method : {TopkMethod::kGreedy, TopkMethod::kGroupLimitedGreedy, TopkMethod::kNoAuxTc}) {
      for (const Scoring scoring : {Scoring::kSoftmax, Scoring::kSigmoid}) {
        for (const bool norm : {true, false}) {
          const bool grouped = num_experts % 8 == 0 && num_experts > 8;
          const RouterParams params = {.scoring = scoring,
                                       .method = method,
                                       .num_experts_per_tok = 6,
                                       .n_group = grouped ? 8 : 1,
                                       .topk_group = grouped ? 3 : 1,
                                       .norm_topk_prob = norm,
                                       .routed_scaling_factor = 2.5F};
          ExpectMatchesReference(
              {.num_experts = num_experts,
               .logits = numbers.Vector(33 * num_experts, -4, 4),
               .bias = method == TopkMethod::kNoAuxTc ? numbers.Vector(num_experts, -0.3F, 0.3F) : std::vector<float>(),
               .params = params});
        }
      }
    }
  }
}

TEST_P(RouterTest, LargeBiasesChooseExpertsButNeverEnterTheWeights) {
  Numbers numbers(2);
  RouterProblem problem = {.num_experts = 256, .logits = numbers.Vector(4 * 256, -18.5F, -17.5F), .params = kV3};
  for (int i = 0; i < 256; ++i) problem.bias.push_back(i % 3 == 0 ? 12.0F : -12.0F);
  const Routing got = ExpectMatchesReference(problem);
  for (size_t i = 0; i < got.experts.size(); ++i) {
    EXPECT_EQ(got.experts[i] % 3, 0) << "an expert with bias −12 was chosen";
    EXPECT_GT(got.weights[i], 0.1F) << "the weight was recovered as biased − bias, which is 0 here";
  }
}

TEST_P(RouterTest, GroupsWhoseBiasedScoresAreNegativeStillWinOverExcludedOnes) {
  Numbers numbers(3);
  RouterProblem problem = {.num_experts = 256, .logits = numbers.Vector(4 * 256, -4, 4), .params = kV3};
  problem.bias = numbers.Vector(256, -6, -5);
  const Routing got = ExpectMatchesReference(problem);
  for (size_t t = 0; t < 4; ++t) {
    std::set<int32_t> groups;
    for (size_t k = 0; k < 8; ++k) groups.insert(got.experts[t * 8 + k] / 32);
    EXPECT_LE(groups.size(), 4U);
  }
}

TEST_P(RouterTest, NoAuxTcRanksGroupsByTheirTwoBestAndGroupLimitedGreedyByTheirBest) {
  // Group 0 has the best expert, group 1 the best two.
  RouterProblem problem = {.num_experts = 4,
                           .logits = {3, -9, 2, 2},
                           .bias = {0, 0, 0, 0},
                           .params = {.num_experts_per_tok = 1, .n_group = 2, .topk_group = 1}};
  EXPECT_EQ(ExpectMatchesReference(problem).experts, std::vector<int32_t>({2}));
  problem.params.method = TopkMethod::kGroupLimitedGreedy;
  problem.bias.clear();
  EXPECT_EQ(ExpectMatchesReference(problem).experts, std::vector<int32_t>({0}));
}

TEST_P(RouterTest, TiesOfGroupsAndExpertsGoToTheLowerIndex) {
  RouterProblem problem = {.num_experts = 256, .logits = std::vector<float>(256), .bias = std::vector<float>(256)};
  problem.params = kV3;
  EXPECT_EQ(ExpectMatchesReference(problem).experts, std::vector<int32_t>({0, 1, 2, 3, 4, 5, 6, 7}));
  problem.bias[40] = problem.bias[72] = 1;
  EXPECT_EQ(ExpectMatchesReference(problem).experts, std::vector<int32_t>({40, 72, 0, 1, 2, 3, 4, 5}));
}

TEST_P(RouterTest, InfiniteAndNaNBiasesYieldDistinctExperts) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  RouterProblem problem = {.num_experts = 16,
                           .logits = std::vector<float>(16),
                           .bias = std::vector<float>(16, -kInfinity),
                           .params = {.num_experts_per_tok = 6, .n_group = 4, .topk_group = 2}};
  problem.bias[5] = std::numeric_limits<float>::quiet_NaN();
  problem.bias[9] = kInfinity;
  const Routing got = problem.Run(*MakeForm());
  EXPECT_EQ(std::set<int32_t>(got.experts.begin(), got.experts.end()).size(), 6U);
  for (const int32_t expert : got.experts) EXPECT_TRUE(expert >= 0 && expert < 16) << expert;
}

TEST_P(RouterTest, ANonFiniteRowGetsNaNWeightsAndSpoilsNoOther) {
  Numbers numbers(4);
  RouterProblem problem = {.num_experts = 64,
                           .logits = numbers.Vector(3 * 64),
                           .bias = std::vector<float>(64),
                           .params = {.num_experts_per_tok = 4}};
  const Routing clean = problem.Run(*MakeForm());
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    problem.logits[64 + 17] = bad;
    const Routing got = ExpectMatchesReference(problem);
    for (size_t k = 0; k < 4; ++k) {
      EXPECT_EQ(got.experts[4 + k], static_cast<int32_t>(k));
      EXPECT_TRUE(std::isnan(got.weights[4 + k]));
      EXPECT_EQ(got.experts[k], clean.experts[k]);
      EXPECT_EQ(got.weights[8 + k], clean.weights[8 + k]);
    }
  }
}

TEST_P(RouterTest, NoTokensAreNoWork) {
  const Routing got =
      RouterProblem{.num_experts = 8, .bias = std::vector<float>(8), .params = {.num_experts_per_tok = 8}}.Run(
          *MakeForm());
  EXPECT_TRUE(got.experts.empty());
}

}  // namespace
}  // namespace tessera::cpu
