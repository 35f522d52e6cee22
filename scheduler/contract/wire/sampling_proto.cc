#include "scheduler/contract/wire/sampling_proto.h"

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera::wire {

void ToProto(const SamplingParams& params, pb::SamplingParams& out) {
  out.set_temperature(params.temperature);
  out.set_top_k(params.top_k);
  out.set_top_p(params.top_p);
  out.set_min_p(params.min_p);
  out.set_repetition_penalty(params.repetition_penalty);
  out.set_frequency_penalty(params.frequency_penalty);
  out.set_presence_penalty(params.presence_penalty);
  out.set_seed(params.seed);
  for (const auto& [token, bias] : params.logit_bias) {
    out.add_logit_bias_tokens(token);
    out.add_logit_bias_values(bias);
  }
  out.set_num_logprobs(params.num_logprobs);
  out.set_num_prompt_logprobs(params.num_prompt_logprobs);
}

absl::StatusOr<SamplingParams> FromProto(const pb::SamplingParams& in, int32_t vocab_size) {
  if (in.logit_bias_tokens_size() != in.logit_bias_values_size()) {
    return absl::InvalidArgumentError(absl::StrFormat("logit_bias_values: got %d, wanted one for each of %d tokens",
                                                      in.logit_bias_values_size(), in.logit_bias_tokens_size()));
  }
  SamplingParams params{.temperature = in.temperature(),
                        .top_k = in.top_k(),
                        .top_p = in.top_p(),
                        .min_p = in.min_p(),
                        .repetition_penalty = in.repetition_penalty(),
                        .frequency_penalty = in.frequency_penalty(),
                        .presence_penalty = in.presence_penalty(),
                        .seed = in.seed(),
                        .num_logprobs = in.num_logprobs(),
                        .num_prompt_logprobs = in.num_prompt_logprobs()};
  for (int i = 0; i < in.logit_bias_tokens_size(); ++i) {
    params.logit_bias.emplace_back(in.logit_bias_tokens(i), in.logit_bias_values(i));
  }
  TESSERA_RETURN_IF_ERROR(Validate(params, vocab_size));
  return params;
}

}  // namespace tessera::wire
