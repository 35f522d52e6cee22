#include "server/http/chat_answer.h"

#include <string>
#include <utility>

#include "server/http/logprobs_json.h"

namespace tessera {
namespace {

Json FinishJson(const ChoiceDelta& delta) {
  return delta.finish.has_value() ? Json(std::string(ToString(*delta.finish))) : Json(nullptr);
}

// Which stop ended the choice: vLLM's `stop_reason`.
Json StopReason(const ChoiceDelta& delta) {
  if (delta.matched_stop.has_value()) return *delta.matched_stop;
  if (delta.matched_stop_token.has_value()) return *delta.matched_stop_token;
  return nullptr;
}

Json CallParts(const std::vector<ToolCallDelta>& parts) {
  Json calls = Json::array();
  for (const ToolCallDelta& part : parts) {
    Json call = {{"index", part.index}};
    Json function = Json::object();
    if (!part.id.empty()) {
      call["id"] = part.id;
      call["type"] = "function";
      function["name"] = part.name;
    }
    function["arguments"] = part.arguments;
    call["function"] = std::move(function);
    calls.push_back(std::move(call));
  }
  return calls;
}

Json WholeCalls(const std::vector<ToolCallDelta>& parts) {
  Json calls = Json::array();
  for (const ToolCallDelta& call : parts) {
    calls.push_back(
        {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return calls;
}

}  // namespace

ChatAnswer::ChatAnswer(const Tokenizer& tokenizer, AnswerHeader header)
    : tokenizer_(tokenizer),
      header_(std::move(header)),
      role_sent_(static_cast<size_t>(header_.num_choices)),
      gathered_(static_cast<size_t>(header_.num_choices)) {}

void ChatAnswer::OnStarted(const StartedEvent& started) {
  if (header_.return_token_ids && !started.prompt_ids.empty()) prompt_ids_ = started.prompt_ids.front();
}

Json ChatAnswer::Envelope(const char* object) const {
  return {{"id", header_.id},
          {"object", object},
          {"created", header_.created},
          {"model", header_.model},
          {"system_fingerprint", header_.system_fingerprint}};
}

void ChatAnswer::AddExtras(const ChoiceDelta& delta, Json& choice) const {
  if (delta.finish.has_value()) choice["stop_reason"] = StopReason(delta);
  if (header_.return_token_ids) choice["token_ids"] = delta.token_ids;
  if (!delta.prompt_logprobs.empty()) choice["prompt_logprobs"] = PromptLogprobs(tokenizer_, delta.prompt_logprobs);
}

Json ChatAnswer::Chunk(const ChoiceDelta& delta) {
  Json part = Json::object();
  const auto index = static_cast<size_t>(delta.choice_index);
  const bool is_first = !role_sent_[index];
  if (is_first) {
    part["role"] = "assistant";
    role_sent_[index] = true;
  }
  if (!delta.reasoning.empty()) part["reasoning_content"] = delta.reasoning;
  if (!delta.text.empty() || (is_first && delta.reasoning.empty() && delta.tool_calls.empty())) {
    part["content"] = delta.text;
  }
  if (!delta.tool_calls.empty()) part["tool_calls"] = CallParts(delta.tool_calls);
  Json choice = {{"index", delta.choice_index},
                 {"delta", std::move(part)},
                 {"logprobs", header_.has_logprobs ? ChatLogprobs(tokenizer_, delta.logprobs) : Json(nullptr)},
                 {"finish_reason", FinishJson(delta)}};
  AddExtras(delta, choice);
  Json chunk = Envelope("chat.completion.chunk");
  if (is_first && header_.return_token_ids) chunk["prompt_token_ids"] = prompt_ids_;
  chunk["choices"] = Json::array({std::move(choice)});
  if (header_.include_usage) chunk["usage"] = nullptr;
  return chunk;
}

Json ChatAnswer::UsageChunk(const Usage& usage) {
  Json chunk = Envelope("chat.completion.chunk");
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(usage);
  return chunk;
}

void ChatAnswer::Gather(ChoiceDelta delta) {
  ChoiceDelta& whole = gathered_[static_cast<size_t>(delta.choice_index)];
  AppendDelta(std::move(delta), whole);
}

Json ChatAnswer::Whole(const Usage& usage) {
  Json choices = Json::array();
  for (const ChoiceDelta& whole : gathered_) {
    const bool has_no_text = whole.text.empty() && (!whole.tool_calls.empty() || !whole.reasoning.empty());
    Json message = {{"role", "assistant"}, {"content", has_no_text ? Json(nullptr) : Json(whole.text)}};
    if (!whole.reasoning.empty()) message["reasoning_content"] = whole.reasoning;
    if (!whole.tool_calls.empty()) message["tool_calls"] = WholeCalls(whole.tool_calls);
    message["refusal"] = nullptr;
    Json choice = {{"index", whole.choice_index},
                   {"message", std::move(message)},
                   {"logprobs", header_.has_logprobs ? ChatLogprobs(tokenizer_, whole.logprobs) : Json(nullptr)},
                   {"finish_reason", FinishJson(whole)}};
    AddExtras(whole, choice);
    choices.push_back(std::move(choice));
  }
  Json document = Envelope("chat.completion");
  document["choices"] = std::move(choices);
  if (header_.return_token_ids) document["prompt_token_ids"] = prompt_ids_;
  document["usage"] = UsageJson(usage);
  return document;
}

}  // namespace tessera
