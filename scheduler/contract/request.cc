#include "scheduler/contract/request.h"

#include <cmath>
#include <unordered_set>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

absl::Status CheckTokens(const char* field, const std::vector<TokenId>& tokens, int32_t vocab_size) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s[%d]: got token id %d, wanted 0 to %d", field, i, tokens[i], vocab_size - 1));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const SamplingParams& sampling, int32_t vocab_size) {
  // Each condition is written so that NaN fails it.
  if (!(sampling.temperature >= 0 && sampling.temperature <= 100)) {
    return absl::InvalidArgumentError(absl::StrFormat("temperature: got %g, wanted 0 to 100", sampling.temperature));
  }
  if (sampling.top_k < 0) {
    return absl::InvalidArgumentError(absl::StrFormat("top_k: got %d, wanted 0 (no limit) or more", sampling.top_k));
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return absl::InvalidArgumentError(absl::StrFormat("top_p: got %g, wanted more than 0, at most 1", sampling.top_p));
  }
  if (!(sampling.min_p >= 0 && sampling.min_p < 1)) {
    return absl::InvalidArgumentError(absl::StrFormat("min_p: got %g, wanted 0 or more, less than 1", sampling.min_p));
  }
  if (!(sampling.repetition_penalty > 0 && std::isfinite(sampling.repetition_penalty))) {
    return absl::InvalidArgumentError(
        absl::StrFormat("repetition_penalty: got %g, wanted more than 0", sampling.repetition_penalty));
  }
  if (!(std::abs(sampling.frequency_penalty) <= 2)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("frequency_penalty: got %g, wanted -2 to 2", sampling.frequency_penalty));
  }
  if (!(std::abs(sampling.presence_penalty) <= 2)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("presence_penalty: got %g, wanted -2 to 2", sampling.presence_penalty));
  }
  if (sampling.num_logprobs < -1 || sampling.num_logprobs > kMaxLogprobs) {
    return absl::InvalidArgumentError(
        absl::StrFormat("logprobs: got %d, wanted 0 to %d", sampling.num_logprobs, kMaxLogprobs));
  }
  if (sampling.num_prompt_logprobs < -1 || sampling.num_prompt_logprobs > kMaxLogprobs) {
    return absl::InvalidArgumentError(
        absl::StrFormat("prompt_logprobs: got %d, wanted 0 to %d", sampling.num_prompt_logprobs, kMaxLogprobs));
  }
  if (sampling.logit_bias.size() > static_cast<size_t>(kMaxLogitBias)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("logit_bias: got %d entries, wanted at most %d", sampling.logit_bias.size(), kMaxLogitBias));
  }
  std::unordered_set<TokenId> seen;
  for (const auto& [token, bias] : sampling.logit_bias) {
    if (token < 0 || token >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrFormat("logit_bias: got token id %d, wanted 0 to %d", token, vocab_size - 1));
    }
    if (!(std::abs(bias) <= 100)) {
      return absl::InvalidArgumentError(absl::StrFormat("logit_bias[%d]: got %g, wanted -100 to 100", token, bias));
    }
    if (!seen.insert(token).second) {
      return absl::InvalidArgumentError(absl::StrFormat("logit_bias: token id %d is given twice", token));
    }
  }
  return absl::OkStatus();
}

absl::Status Validate(const Request& request, int32_t vocab_size) {
  if (request.prompt.empty()) return absl::InvalidArgumentError("prompt: got no token, wanted at least 1");
  TESSERA_RETURN_IF_ERROR(CheckTokens("prompt", request.prompt, vocab_size));
  TESSERA_RETURN_IF_ERROR(CheckTokens("generated", request.generated, vocab_size));
  TESSERA_RETURN_IF_ERROR(CheckTokens("stop_tokens", request.stop_tokens, vocab_size));
  if (request.stop_tokens.size() > static_cast<size_t>(kMaxStopTokens)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("stop_tokens: got %d, wanted at most %d", request.stop_tokens.size(), kMaxStopTokens));
  }
  if (request.max_tokens < 1) {
    return absl::InvalidArgumentError(absl::StrFormat("max_tokens: got %d, wanted at least 1", request.max_tokens));
  }
  if (request.min_tokens < 0 || request.min_tokens > request.max_tokens) {
    return absl::InvalidArgumentError(
        absl::StrFormat("min_tokens: got %d, wanted 0 to max_tokens (%d)", request.min_tokens, request.max_tokens));
  }
  if (request.generated.size() >= static_cast<size_t>(request.max_tokens)) {
    return absl::InvalidArgumentError(absl::StrFormat("generated: got %d tokens, wanted less than max_tokens (%d)",
                                                      request.generated.size(), request.max_tokens));
  }
  return Validate(request.sampling, vocab_size);
}

}  // namespace tessera
