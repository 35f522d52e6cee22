#include "worker/sample/candidate_filter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"

namespace tessera {
namespace {

// Distance below the largest logit at which the search for candidates begins.
constexpr float kFirstReach = 8;
constexpr float kLastReach = 1e6F;  // beyond it: the whole vocabulary

bool Precedes(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// The last of the candidates, in their order, that is needed for a weight of `mass`: a quickselect by weight. Moves
// elements in a way that depends on the input alone, and with it the rounding of the sums.
Candidate LastForMass(std::span<Candidate> candidates, double mass) {
  size_t begin = 0;
  size_t end = candidates.size();
  double before = 0;  // weight of [0, begin), all of which precede the rest
  while (begin < end) {
    std::swap(candidates[begin + (end - begin) / 2], candidates[end - 1]);
    const Candidate pivot = candidates[end - 1];
    size_t middle = begin;
    double upper = 0;
    for (size_t i = begin; i + 1 < end; ++i) {
      if (!Precedes(candidates[i], pivot)) continue;
      upper += static_cast<double>(candidates[i].weight);
      std::swap(candidates[i], candidates[middle++]);
    }
    if (before + upper >= mass) {
      end = middle;
      continue;
    }
    std::swap(candidates[middle], candidates[end - 1]);
    before += upper + static_cast<double>(pivot.weight);
    if (before >= mass) return pivot;
    begin = middle + 1;
  }
  TESSERA_CHECK(begin > 0);
  return candidates[begin - 1];  // rounding left the sum a little short: the last one looked at completes it
}

double TotalOf(std::span<const Candidate> candidates) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += static_cast<double>(candidate.weight);
  return total;
}

}  // namespace

CandidateFilter::CandidateFilter(int32_t vocab_size) {
  kept_.reserve(static_cast<size_t>(vocab_size));
  ordered_.reserve(static_cast<size_t>(vocab_size));
}

std::span<const Candidate> CandidateFilter::Run(std::span<const float> logits, std::span<const float> weights,
                                                float max, double total, const FilterParams& params) {
  const auto top_k = static_cast<size_t>(params.top_k);
  const double share = params.top_k > 0 ? 0 : static_cast<double>(params.top_p) * total;
  const bool bounded = params.top_k > 0 || params.top_p < 1;
  for (float reach = bounded ? kFirstReach : kLastReach;; reach *= 4) {
    const bool all = reach >= kLastReach;
    const double mass = Collect(logits, weights, all ? std::numeric_limits<float>::lowest() : max - reach);
    if (all || (kept_.size() >= top_k && mass >= share)) break;
  }
  if (params.top_k > 0 && kept_.size() > top_k) KeepTopK(top_k);
  if (params.top_p < 1) KeepTopP(static_cast<double>(params.top_p) * (params.top_k > 0 ? TotalOf(kept_) : total));
  if (params.min_p > 0) std::erase_if(kept_, [&](const Candidate& c) { return c.weight < params.min_p; });
  TESSERA_CHECK(!kept_.empty());
  return kept_;
}

double CandidateFilter::Collect(std::span<const float> logits, std::span<const float> weights, float lowest) {
  kept_.clear();
  double mass = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!(logits[id] >= lowest)) continue;
    kept_.push_back({.token = static_cast<TokenId>(id), .logit = logits[id], .weight = weights[id]});
    mass += static_cast<double>(weights[id]);
  }
  return mass;
}

void CandidateFilter::KeepTopK(size_t count) {
  ordered_.assign(kept_.begin(), kept_.end());
  const auto last = ordered_.begin() + static_cast<std::ptrdiff_t>(count) - 1;
  std::nth_element(ordered_.begin(), last, ordered_.end(), Precedes);
  KeepUpTo(*last);
}

void CandidateFilter::KeepTopP(double mass) {
  ordered_.assign(kept_.begin(), kept_.end());
  KeepUpTo(LastForMass(ordered_, mass));
}

void CandidateFilter::KeepUpTo(const Candidate& last) {
  std::erase_if(kept_, [&](const Candidate& candidate) { return Precedes(last, candidate); });
}

}  // namespace tessera
