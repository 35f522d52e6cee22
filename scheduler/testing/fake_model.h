#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/ids.h"
#include "scheduler/contract/request.h"
#include "scheduler/contract/token_batch.h"

namespace tessera {

struct FakeModelOptions {
  int32_t vocab_size = 1000;
  int32_t stop_period = 0;  // about one token in so many is the request's first stop token; 0: none is by chance
  // Answers by prompt; after the last forced token comes the request's first stop token, if it has any.
  std::map<std::vector<TokenId>, std::vector<TokenId>> script;
  // By prompt: with so many tokens generated, the logits are not finite.
  std::map<std::vector<TokenId>, int32_t> not_finite_at;
  double right_draft_share = 0.7;  // of the drafts, 0 … 1
};

// What the model needs to know of a sequence.
struct FakeContext {
  const std::vector<TokenId>& prompt;
  const std::vector<TokenId>& generated;
  uint64_t history_hash = 0;  // of all tokens, by FakeModel::Extend
  const SamplingParams& sampling;
  const std::vector<TokenId>& stop_tokens;
  int32_t min_tokens = 0;
};

// A stand-in for a language model: the next token is a function of the seed and of all tokens so far.
class FakeModel {
 public:
  explicit FakeModel(FakeModelOptions options) : options_(std::move(options)) {}

  static uint64_t Extend(uint64_t history_hash, TokenId token);

  TokenId NextToken(const FakeContext& context) const;
  bool IsFinite(const FakeContext& context) const;

  // What the MTP module guesses: often the next token, sometimes another.
  TokenId Draft(const FakeContext& context) const;

  // The log probabilities at a position at which `token` stands; `num_top` as in SamplingParams::num_logprobs.
  PositionLogprobs Logprobs(TokenId token, int32_t num_top) const;

  // All tokens that a request gets when nothing disturbs it. Requires: its logits stay finite.
  std::vector<TokenId> Answer(const Request& request) const;

 private:
  FakeModelOptions options_;
};

}  // namespace tessera
