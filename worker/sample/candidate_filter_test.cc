#include "worker/sample/candidate_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace tessera {
namespace {

using ::testing::ElementsAre;

std::vector<float> WeightsOf(const std::vector<float>& logits, float max) {
  std::vector<float> weights;
  for (const float logit : logits) weights.push_back(std::exp(logit - max));
  return weights;
}

std::vector<TokenId> Kept(const std::vector<float>& logits, const FilterParams& params) {
  const float max = *std::max_element(logits.begin(), logits.end());
  const std::vector<float> weights = WeightsOf(logits, max);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  CandidateFilter filter(static_cast<int32_t>(logits.size()));
  std::vector<TokenId> ids;
  for (const Candidate& candidate : filter.Run(logits, weights, max, total, params)) ids.push_back(candidate.token);
  return ids;
}

// The definition, by sorting.
std::vector<TokenId> KeptBySorting(const std::vector<float>& logits, const FilterParams& params) {
  const std::vector<float> weights = WeightsOf(logits, *std::max_element(logits.begin(), logits.end()));
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  if (params.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(params.top_k)));
  double total = 0;
  for (const TokenId id : order) total += static_cast<double>(weights[static_cast<size_t>(id)]);
  std::vector<TokenId> kept;
  double mass = 0;
  for (const TokenId id : order) {
    if (params.top_p < 1 && mass >= static_cast<double>(params.top_p) * total) break;
    mass += static_cast<double>(weights[static_cast<size_t>(id)]);
    if (weights[static_cast<size_t>(id)] >= params.min_p) kept.push_back(id);
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

TEST(CandidateFilterTest, AgreesWithSortingOnPeakedAndFlatRows) {
  std::mt19937 random(11);
  for (const float spread : {0.01F, 1.0F, 4.0F, 30.0F}) {
    std::normal_distribution<float> normal(0, spread);
    std::vector<float> logits(1500);
    for (float& logit : logits) logit = normal(random);
    for (const FilterParams& params :
         {FilterParams{.top_k = 1}, FilterParams{.top_k = 40}, FilterParams{.top_k = 5000},
          FilterParams{.top_p = 0.001F}, FilterParams{.top_p = 0.5F}, FilterParams{.top_p = 0.95F},
          FilterParams{.min_p = 0.1F}, FilterParams{.top_k = 40, .top_p = 0.9F, .min_p = 0.05F}}) {
      EXPECT_EQ(Kept(logits, params), KeptBySorting(logits, params))
          << "spread " << spread << ", top_k " << params.top_k << ", top_p " << params.top_p << ", min_p "
          << params.min_p;
    }
  }
}

TEST(CandidateFilterTest, TiesAtTheCutGoToTheLowestIds) {
  const std::vector<float> logits(100, 1.0F);
  EXPECT_THAT(Kept(logits, {.top_k = 3}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Kept(logits, {.top_p = 0.025F}), ElementsAre(0, 1, 2));
}

TEST(CandidateFilterTest, TopPCountsWhatTopKLeft) {
  // Weights 4 : 2 : 1 : 1. Of all, 0.6 needs two tokens; of the first two, 0.6 needs one.
  const std::vector<float> logits = {std::log(4.0F), std::log(2.0F), 0, 0};
  EXPECT_THAT(Kept(logits, {.top_p = 0.6F}), ElementsAre(0, 1));
  EXPECT_THAT(Kept(logits, {.top_k = 2, .top_p = 0.6F}), ElementsAre(0));
}

TEST(CandidateFilterTest, MaskedTokensAreNeverCandidates) {
  std::vector<float> logits(70, -std::numeric_limits<float>::infinity());
  logits[69] = -5;
  EXPECT_THAT(Kept(logits, {.top_k = 50}), ElementsAre(69));
  EXPECT_THAT(Kept(logits, {.top_p = 0.99F}), ElementsAre(69));
}

}  // namespace
}  // namespace tessera
