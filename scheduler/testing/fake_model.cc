#include "scheduler/testing/fake_model.h"

#include <algorithm>

namespace tessera {
namespace {

uint64_t Mix(uint64_t x) {  // splitmix64's finalizer
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

bool Contains(const std::vector<TokenId>& tokens, TokenId token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

}  // namespace

uint64_t FakeModel::Extend(uint64_t history_hash, TokenId token) {
  return Mix(history_hash + 0x9e3779b97f4a7c15ULL + static_cast<uint64_t>(token));
}

TokenId FakeModel::NextToken(const FakeContext& context) const {
  const bool may_stop = static_cast<int32_t>(context.generated.size()) >= context.min_tokens;
  if (const auto script = options_.script.find(context.prompt); script != options_.script.end()) {
    if (context.generated.size() < script->second.size()) return script->second[context.generated.size()];
    if (may_stop && !context.stop_tokens.empty()) return context.stop_tokens.front();
  }
  const uint64_t draw = Mix(context.history_hash ^ Mix(context.sampling.seed));
  if (options_.stop_period > 0 && may_stop && !context.stop_tokens.empty() &&
      (draw >> 32) % static_cast<uint64_t>(options_.stop_period) == 0) {
    return context.stop_tokens.front();
  }
  auto token = static_cast<TokenId>(draw % static_cast<uint64_t>(options_.vocab_size));
  while (Contains(context.stop_tokens, token)) token = (token + 1) % options_.vocab_size;
  return token;
}

bool FakeModel::IsFinite(const FakeContext& context) const {
  const auto at = options_.not_finite_at.find(context.prompt);
  return at == options_.not_finite_at.end() || at->second != static_cast<int32_t>(context.generated.size());
}

TokenId FakeModel::Draft(const FakeContext& context) const {
  const TokenId right = NextToken(context);
  const auto draw = static_cast<double>(Mix(context.history_hash + 77) >> 11) * 0x1p-53;
  return draw < options_.right_draft_share ? right : (right + 1) % options_.vocab_size;
}

PositionLogprobs FakeModel::Logprobs(TokenId token, int32_t num_top) const {
  PositionLogprobs logprobs{.token = {token, -1.F}};
  for (int32_t i = 0; i < std::min(num_top, options_.vocab_size); ++i) {
    logprobs.top.push_back({(token + i) % options_.vocab_size, -1.F - static_cast<float>(i)});
  }
  return logprobs;
}

std::vector<TokenId> FakeModel::Answer(const Request& request) const {
  std::vector<TokenId> generated = request.generated;
  uint64_t hash = 0;
  for (const TokenId token : request.prompt) hash = Extend(hash, token);
  for (const TokenId token : request.generated) hash = Extend(hash, token);
  while (static_cast<int32_t>(generated.size()) < request.max_tokens) {
    const TokenId token =
        NextToken({request.prompt, generated, hash, request.sampling, request.stop_tokens, request.min_tokens});
    generated.push_back(token);
    hash = Extend(hash, token);
    if (Contains(request.stop_tokens, token)) break;
  }
  return generated;
}

}  // namespace tessera
