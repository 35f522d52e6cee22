#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/reference.h"
#include "kernels/reference/softmax.h"

namespace tessera::reference {
namespace {

std::vector<float> Scores(const float* logits, int64_t num_experts, Scoring scoring) {
  std::vector<float> scores(logits, logits + num_experts);
  if (scoring == Scoring::kSoftmax) {
    Softmax(scores);
  } else {
    for (float& score : scores) score = 1.0F / (1.0F + std::exp(-score));
  }
  return scores;
}

// The indices of the `count` largest values, largest first, the lower index first among equals.
std::vector<size_t> Largest(const std::vector<float>& values, int32_t count) {
  std::vector<size_t> indices(values.size());
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = i;
  std::stable_sort(indices.begin(), indices.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  indices.resize(static_cast<size_t>(count));
  return indices;
}

float GroupScore(const float* wanted, size_t group_size, TopkMethod method) {
  std::vector<float> sorted(wanted, wanted + group_size);
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  return method == TopkMethod::kNoAuxTc ? sorted[0] + sorted[1] : sorted[0];
}

// Lowers to −∞ what lies outside the best groups.
void KeepBestGroups(std::vector<float>& wanted, const RouterParams& params) {
  const size_t group_size = wanted.size() / static_cast<size_t>(params.n_group);
  std::vector<float> group_scores;
  for (size_t begin = 0; begin < wanted.size(); begin += group_size) {
    group_scores.push_back(GroupScore(&wanted[begin], group_size, params.method));
  }
  std::vector<float> masked(wanted.size(), -std::numeric_limits<float>::infinity());
  for (const size_t group : Largest(group_scores, params.topk_group)) {
    std::copy_n(&wanted[group * group_size], group_size, &masked[group * group_size]);
  }
  wanted = masked;
}

void Route(const RouterArgs& args, int64_t t) {
  const RouterParams& params = args.params;
  const std::vector<float> scores = Scores(args.logits.row(t), args.logits.dim(1), params.scoring);
  std::vector<float> wanted = scores;
  if (params.method == TopkMethod::kNoAuxTc) {
    for (size_t e = 0; e < wanted.size(); ++e) {
      wanted[e] += args.bias.data()[e];
      if (std::isnan(wanted[e])) wanted[e] = -std::numeric_limits<float>::infinity();  // a NaN bias: least wanted
    }
  }
  if (params.method != TopkMethod::kGreedy && params.n_group > 1) KeepBestGroups(wanted, params);
  const std::vector<size_t> chosen = Largest(wanted, params.num_experts_per_tok);
  float sum = 0;
  for (const size_t expert : chosen) sum += scores[expert];
  for (size_t k = 0; k < chosen.size(); ++k) {
    const float weight = params.norm_topk_prob ? scores[chosen[k]] / (sum + 1e-20F) : scores[chosen[k]];
    args.experts.row(t)[k] = static_cast<int32_t>(chosen[k]);
    args.weights.row(t)[k] = weight * params.routed_scaling_factor;
  }
}

}  // namespace

void Router(const RouterArgs& args) {
  for (int64_t t = 0; t < args.logits.dim(0); ++t) {
    const float* logits = args.logits.row(t);
    if (std::all_of(logits, logits + args.logits.dim(1), [](float logit) { return std::isfinite(logit); })) {
      Route(args, t);
      continue;
    }
    for (int32_t k = 0; k < args.params.num_experts_per_tok; ++k) {
      args.experts.row(t)[k] = k;
      args.weights.row(t)[k] = std::numeric_limits<float>::quiet_NaN();
    }
  }
}

}  // namespace tessera::reference
