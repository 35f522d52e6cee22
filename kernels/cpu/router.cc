#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/cpu_matrix.h"
#include "kernels/cpu/operations.h"

namespace tessera::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The index of the largest of values[begin … end − 1], the lowest among equals; −1 if all are taken. Taken values are
// NaN: no comparison finds them.
int64_t IndexOfLargest(const float* values, int64_t begin, int64_t end) {
  int64_t best = -1;
  for (int64_t i = begin; i < end; ++i) {
    if (best < 0 ? !std::isnan(values[i]) : values[i] > values[best]) best = i;
  }
  return best;
}

// The experts of one token by segments, each with its best remaining expert, so that a choice rescans one segment only.
class Segments {
 public:
  // Takes `wanted` [count] over as scratch; `best` has room for each segment's index.
  Segments(float* wanted, int64_t count, int64_t segment_size, int64_t* best)
      : wanted_(wanted), count_(count), segment_size_(segment_size), best_(best) {
    for (int64_t s = 0; s < DivideRoundingUp(count, segment_size); ++s) Rescan(s);
  }

  int64_t TakeLargest() {
    int64_t chosen = -1;
    int64_t from = 0;
    for (int64_t s = 0; s < DivideRoundingUp(count_, segment_size_); ++s) {
      if (best_[s] < 0 || (chosen >= 0 && !(wanted_[best_[s]] > wanted_[chosen]))) continue;
      chosen = best_[s];
      from = s;
    }
    wanted_[chosen] = std::numeric_limits<float>::quiet_NaN();
    Rescan(from);
    return chosen;
  }

 private:
  void Rescan(int64_t segment) {
    const int64_t begin = segment * segment_size_;
    best_[segment] = IndexOfLargest(wanted_, begin, std::min(begin + segment_size_, count_));
  }

  float* wanted_;
  int64_t count_;
  int64_t segment_size_;
  int64_t* best_;
};

float GroupScore(const float* wanted, int64_t group_size, TopkMethod method) {
  float first = -kInfinity;
  float second = -kInfinity;
  for (int64_t i = 0; i < group_size; ++i) {
    if (wanted[i] > first) {
      second = first;
      first = wanted[i];
    } else if (wanted[i] > second) {
      second = wanted[i];
    }
  }
  const float score = method == TopkMethod::kNoAuxTc ? first + second : first;
  return std::isnan(score) ? -kInfinity : score;  // an infinite bias against another
}

// Makes experts outside the best groups NaN, which are never chosen: −∞ or 0 could win over what is allowed.
void ExcludeGroups(const RouterParams& params, int64_t num_experts, float* wanted, Arena& scratch) {
  const int64_t group_size = num_experts / params.n_group;
  auto* scores = scratch.Take<float>(params.n_group);
  auto* best = scratch.Take<int64_t>(params.n_group);
  for (int64_t g = 0; g < params.n_group; ++g)
    scores[g] = GroupScore(wanted + g * group_size, group_size, params.method);
  Segments groups(scores, params.n_group, params.n_group, best);
  for (int32_t i = 0; i < params.topk_group; ++i) groups.TakeLargest();  // the groups kept become NaN
  for (int64_t g = 0; g < params.n_group; ++g) {
    if (std::isnan(scores[g])) continue;
    std::fill_n(wanted + g * group_size, group_size, std::numeric_limits<float>::quiet_NaN());
  }
}

// Fills `wanted` with the values to choose by.
void FillWanted(const RouterArgs& args, const float* scores, int64_t num_experts, float* wanted) {
  const bool biased = args.params.method == TopkMethod::kNoAuxTc;
  for (int64_t e = 0; e < num_experts; ++e) {
    wanted[e] = biased ? scores[e] + args.bias.data()[e] : scores[e];
    if (std::isnan(wanted[e])) wanted[e] = -kInfinity;  // a NaN bias: least wanted
  }
}

void Route(const RouterArgs& args, int64_t t, const Microkernels& kernels, Arena& scratch) {
  const RouterParams& params = args.params;
  const int64_t num_experts = args.logits.dim(1);
  auto* scores = scratch.Take<float>(num_experts);
  auto* wanted = scratch.Take<float>(num_experts);
  (params.scoring == Scoring::kSoftmax ? kernels.softmax : kernels.sigmoid)(args.logits.row(t), num_experts, scores);
  FillWanted(args, scores, num_experts, wanted);
  if (params.method != TopkMethod::kGreedy && params.n_group > 1) ExcludeGroups(params, num_experts, wanted, scratch);
  constexpr int64_t kSegmentSize = 16;
  Segments experts(wanted, num_experts, kSegmentSize,
                   scratch.Take<int64_t>(DivideRoundingUp(num_experts, kSegmentSize)));
  float sum = 0;
  for (int32_t k = 0; k < params.num_experts_per_tok; ++k) {
    const int64_t expert = experts.TakeLargest();
    args.experts.row(t)[k] = static_cast<int32_t>(expert);
    args.weights.row(t)[k] = scores[expert];
    sum += scores[expert];
  }
  for (int32_t k = 0; k < params.num_experts_per_tok; ++k) {
    float& weight = args.weights.row(t)[k];
    if (params.norm_topk_prob) weight /= sum + 1e-20F;
    weight *= params.routed_scaling_factor;
  }
}

}  // namespace

void Router(const RouterArgs& args, Context& context) {
  context.Reset();
  context.pool.ParallelFor(args.logits.dim(0), [&](int64_t t, int thread) {
    const float* logits = args.logits.row(t);
    if (std::all_of(logits, logits + args.logits.dim(1), [](float logit) { return std::isfinite(logit); })) {
      Arena& scratch = context.scratch_of(thread);
      scratch.Reset();
      Route(args, t, context.kernels, scratch);
      return;
    }
    for (int32_t k = 0; k < args.params.num_experts_per_tok; ++k) {
      args.experts.row(t)[k] = k;
      args.weights.row(t)[k] = std::numeric_limits<float>::quiet_NaN();
    }
  });
}

}  // namespace tessera::cpu
