#include "server/groups/routed_request.h"

#include <algorithm>

namespace tessera {

void Deliver(RoutedRequest& routed, RequestTokens& tokens) {
  // An attempt after a failure during the prompt computes log probabilities again that were delivered before.
  const auto num_prompt_logprobs = static_cast<int64_t>(tokens.prompt_logprobs.size());
  const int64_t num_repeated = std::clamp<int64_t>(
      routed.num_prompt_logprobs_delivered - routed.num_prompt_logprobs_seen, 0, num_prompt_logprobs);
  tokens.prompt_logprobs.erase(tokens.prompt_logprobs.begin(),
                               tokens.prompt_logprobs.begin() + static_cast<std::ptrdiff_t>(num_repeated));
  routed.num_prompt_logprobs_seen += num_prompt_logprobs;
  routed.num_prompt_logprobs_delivered += num_prompt_logprobs - num_repeated;

  if (!routed.request.generated.empty()) tokens.num_cached_tokens = 0;  // said with the first tokens, once
  if (!tokens.tokens.empty()) routed.num_moves_without_token = 0;
  routed.request.generated.insert(routed.request.generated.end(), tokens.tokens.begin(), tokens.tokens.end());
}

}  // namespace tessera
