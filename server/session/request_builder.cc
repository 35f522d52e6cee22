#include "server/session/request_builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/token_batch.h"

namespace tessera {
namespace {

absl::Status CheckCount(const char* field, std::optional<int32_t> count) {
  if (count.has_value() && (*count < 0 || *count > kMaxLogprobs)) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: got %d, wanted 0 to %d", field, *count, kMaxLogprobs));
  }
  return absl::OkStatus();
}

absl::Status CheckMaxTokens(const GenerateRequest& request) {
  if (request.min_tokens < 0) {
    return absl::InvalidArgumentError(absl::StrFormat("min_tokens: got %d, wanted 0 or more", request.min_tokens));
  }
  if (!request.max_tokens.has_value()) return absl::OkStatus();
  const int64_t least = request.echo ? 0 : 1;
  if (*request.max_tokens < least) {
    return absl::InvalidArgumentError(
        absl::StrFormat("max_tokens: got %d, wanted at least %d", *request.max_tokens, least));
  }
  if (request.min_tokens > *request.max_tokens) {
    return absl::InvalidArgumentError(
        absl::StrFormat("min_tokens: got %d, wanted at most max_tokens (%d)", request.min_tokens, *request.max_tokens));
  }
  return absl::OkStatus();
}

SamplingParams BuildSampling(const GenerateRequest& request, const ServiceConfig& config) {
  const SamplingOptions& in = request.sampling;
  return {.temperature = in.temperature.value_or(config.default_temperature),
          .top_k = in.top_k.value_or(config.default_top_k),
          .top_p = in.top_p.value_or(config.default_top_p),
          .min_p = in.min_p.value_or(0),
          .repetition_penalty = in.repetition_penalty.value_or(config.default_repetition_penalty),
          .frequency_penalty = in.frequency_penalty,
          .presence_penalty = in.presence_penalty,
          .logit_bias = in.logit_bias,
          .num_logprobs = request.logprobs.value_or(-1),
          .num_prompt_logprobs = request.prompt_logprobs.value_or(-1)};
}

// How many tokens may be generated after `num_prompt_tokens`.
absl::StatusOr<int32_t> FitMaxTokens(const GenerateRequest& request, int64_t num_prompt_tokens,
                                     const EngineLimits& limits) {
  const int64_t context = std::min<int64_t>(limits.context_tokens_max, limits.cache_tokens_per_rank);
  const int64_t room = context - num_prompt_tokens;
  if (room < 1) {
    return absl::OutOfRangeError(
        absl::StrFormat("prompt: got %d tokens, wanted at most %d: the context length is %d tokens and one of them is "
                        "for the answer",
                        num_prompt_tokens, context - 1, context));
  }
  if (request.min_tokens > room) {
    return absl::OutOfRangeError(
        absl::StrFormat("min_tokens: got %d, wanted at most %d: the context length is %d tokens and the prompt has %d",
                        request.min_tokens, room, context, num_prompt_tokens));
  }
  // max_tokens 0 (with echo) runs the prompt for its logprobs; the engine makes one token, which nobody sees.
  return static_cast<int32_t>(std::clamp<int64_t>(request.max_tokens.value_or(room), 1, room));
}

}  // namespace

absl::Status CheckModel(std::string_view model, const ServiceConfig& config) {
  const auto& aliases = config.model_aliases;
  if (model.empty() || model == config.model_name ||
      std::find(aliases.begin(), aliases.end(), model) != aliases.end()) {
    return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrFormat("model: got '%s', wanted '%s'", model.substr(0, 256), config.model_name));
}

absl::Status CheckRequest(const GenerateRequest& request, const ServiceConfig& config) {
  TESSERA_RETURN_IF_ERROR(CheckModel(request.model, config));
  if (request.prompts.empty()) return absl::InvalidArgumentError("prompt: got none, wanted at least 1");
  if (request.n < 1) return absl::InvalidArgumentError(absl::StrFormat("n: got %d, wanted at least 1", request.n));
  const int64_t num_choices = static_cast<int64_t>(request.prompts.size()) * request.n;
  if (num_choices > config.choices_max) {
    return absl::InvalidArgumentError(
        absl::StrFormat("n: got %d choices in all, wanted at most %d", num_choices, config.choices_max));
  }
  TESSERA_RETURN_IF_ERROR(CheckCount("logprobs", request.logprobs));
  TESSERA_RETURN_IF_ERROR(CheckCount("prompt_logprobs", request.prompt_logprobs));
  if (request.stop_token_ids.size() > static_cast<size_t>(kMaxStopTokens)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("stop_token_ids: got %d, wanted at most %d", request.stop_token_ids.size(), kMaxStopTokens));
  }
  return CheckMaxTokens(request);
}

uint64_t ChoiceSeed(uint64_t seed, int32_t choice) {
  if (choice == 0) return seed;
  // SplitMix64 (Steele, Lea, Flood 2014): a bijection, so that the choices of one seed never share a seed.
  uint64_t z = seed + static_cast<uint64_t>(choice) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

absl::StatusOr<std::vector<Request>> BuildRequests(const GenerateRequest& request,
                                                   const std::vector<std::vector<TokenId>>& prompts,
                                                   const ServiceConfig& config, const EngineLimits& limits,
                                                   uint64_t random_seed) {
  std::vector<TokenId> stop_tokens = request.stop_token_ids;
  if (!request.ignore_eos) stop_tokens.insert(stop_tokens.end(), config.eos_tokens.begin(), config.eos_tokens.end());
  std::vector<Request> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    TESSERA_ASSIGN_OR_RETURN(const int32_t max_tokens,
                             FitMaxTokens(request, static_cast<int64_t>(prompts[i].size()), limits));
    Request one{.prompt = prompts[i],
                .sampling = BuildSampling(request, config),
                .max_tokens = max_tokens,
                .min_tokens = static_cast<int32_t>(request.min_tokens),
                .stop_tokens = stop_tokens,
                .priority = request.priority,
                .deadline = request.deadline,
                .arrival = request.arrival};
    // Each prompt of a seeded request gets what it would get alone; without a seed the prompts differ.
    const uint64_t seed = request.sampling.seed.has_value() ? static_cast<uint64_t>(*request.sampling.seed)
                                                            : random_seed + (static_cast<uint64_t>(i) << 32);
    if (absl::Status status = Validate(one, limits.vocab_size); !status.ok()) return status;
    for (int32_t choice = 0; choice < request.n; ++choice) {
      one.sampling.seed = ChoiceSeed(seed, choice);
      requests.push_back(one);
    }
  }
  return requests;
}

}  // namespace tessera
