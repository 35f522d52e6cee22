#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace tessera {

// A token that may be drawn.
struct Candidate {
  TokenId token = 0;
  float logit = 0;
  float weight = 0;  // e^((logit − largest logit) / temperature)
};

// How far the vocabulary, sorted by falling logit (lowest id first on ties), is kept.
struct FilterParams {
  int32_t top_k = 0;  // 0: no limit
  float top_p = 1;    // the smallest set with at least this share of what top-k left
  float min_p = 0;    // weights of at least this; the largest weight is 1
};

// Finds the tokens that the filters leave. Never sorts the vocabulary: it collects the tokens near the top, widening
// until enough are there, and selects the cut among them in linear time. Allocates at construction only.
class CandidateFilter {
 public:
  explicit CandidateFilter(int32_t vocab_size);

  // Candidates by rising id; at least one. Tokens at minus infinity are never candidates. `max` is the largest logit,
  // finite; `total` the sum of all weights. Valid until the next call.
  std::span<const Candidate> Run(std::span<const float> logits, std::span<const float> weights, float max, double total,
                                 const FilterParams& params);

 private:
  // Fills kept_ with the tokens whose logit is at least `lowest`; returns their weight.
  double Collect(std::span<const float> logits, std::span<const float> weights, float lowest);
  void KeepTopK(size_t count);
  void KeepTopP(double mass);
  void KeepUpTo(const Candidate& last);

  std::vector<Candidate> kept_;     // by rising id
  std::vector<Candidate> ordered_;  // work space of the selections
};

}  // namespace tessera
