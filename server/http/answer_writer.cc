#include "server/http/answer_writer.h"

#include <iterator>
#include <utility>

namespace tessera {
namespace {

template <typename T>
void Append(std::vector<T> from, std::vector<T>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

void AppendCall(ToolCallDelta part, std::vector<ToolCallDelta>& calls) {
  if (!part.id.empty() || calls.empty()) {
    calls.push_back(std::move(part));
  } else {
    calls.back().arguments += part.arguments;
  }
}

}  // namespace

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_prompt_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"prompt_cache_hit_tokens", usage.cached_prompt_tokens},
          {"prompt_cache_miss_tokens", usage.prompt_tokens - usage.cached_prompt_tokens}};
}

void AppendDelta(ChoiceDelta delta, ChoiceDelta& whole) {
  whole.choice_index = delta.choice_index;
  whole.text += delta.text;
  whole.reasoning += delta.reasoning;
  for (ToolCallDelta& part : delta.tool_calls) AppendCall(std::move(part), whole.tool_calls);
  Append(std::move(delta.token_ids), whole.token_ids);
  Append(std::move(delta.logprobs), whole.logprobs);
  Append(std::move(delta.prompt_logprobs), whole.prompt_logprobs);
  if (delta.finish.has_value()) {
    whole.finish = delta.finish;
    whole.matched_stop = std::move(delta.matched_stop);
    whole.matched_stop_token = delta.matched_stop_token;
  }
}

}  // namespace tessera
