#include "server/http/completion_answer.h"

#include <string>
#include <utility>

namespace tessera {

CompletionAnswer::CompletionAnswer(const Tokenizer& tokenizer, AnswerHeader header)
    : tokenizer_(tokenizer),
      header_(std::move(header)),
      begun_(static_cast<size_t>(header_.num_choices)),
      logprobs_(static_cast<size_t>(header_.num_choices), CompletionLogprobs(tokenizer)),
      gathered_(static_cast<size_t>(header_.num_choices)) {}

void CompletionAnswer::OnStarted(const StartedEvent& started) { prompt_ids_ = started.prompt_ids; }

Json CompletionAnswer::Envelope() const {
  return {{"id", header_.id},
          {"object", "text_completion"},
          {"created", header_.created},
          {"model", header_.model},
          {"system_fingerprint", header_.system_fingerprint}};
}

const std::vector<TokenId>* CompletionAnswer::PromptOf(int32_t choice_index) const {
  const auto prompt = static_cast<size_t>(choice_index / header_.choices_per_prompt);
  return prompt < prompt_ids_.size() ? &prompt_ids_[prompt] : nullptr;
}

Json CompletionAnswer::Choice(const ChoiceDelta& delta, bool is_first) {
  const auto* prompt = PromptOf(delta.choice_index);
  Json choice = {{"index", delta.choice_index}, {"text", delta.text}, {"logprobs", nullptr}};
  if (header_.has_logprobs) {
    CompletionLogprobs& logprobs = logprobs_[static_cast<size_t>(delta.choice_index)];
    if (header_.echo && is_first && prompt != nullptr) {
      logprobs.AddFirstPromptToken(prompt->front());
      logprobs.Add(delta.prompt_logprobs);
    }
    logprobs.Add(delta.logprobs);
    choice["logprobs"] = logprobs.Take();
  }
  choice["finish_reason"] = delta.finish.has_value() ? Json(std::string(ToString(*delta.finish))) : Json(nullptr);
  if (delta.finish.has_value()) {
    choice["stop_reason"] = delta.matched_stop.has_value()         ? Json(*delta.matched_stop)
                            : delta.matched_stop_token.has_value() ? Json(*delta.matched_stop_token)
                                                                   : Json(nullptr);
  }
  if (header_.return_token_ids) {
    choice["token_ids"] = delta.token_ids;
    if (is_first && prompt != nullptr) choice["prompt_token_ids"] = *prompt;
  }
  if (!delta.prompt_logprobs.empty()) choice["prompt_logprobs"] = PromptLogprobs(tokenizer_, delta.prompt_logprobs);
  return choice;
}

Json CompletionAnswer::Chunk(const ChoiceDelta& delta) {
  const auto index = static_cast<size_t>(delta.choice_index);
  const bool is_first = !begun_[index];
  begun_[index] = true;
  Json chunk = Envelope();
  chunk["choices"] = Json::array({Choice(delta, is_first)});
  if (header_.include_usage) chunk["usage"] = nullptr;
  return chunk;
}

Json CompletionAnswer::UsageChunk(const Usage& usage) {
  Json chunk = Envelope();
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(usage);
  return chunk;
}

void CompletionAnswer::Gather(ChoiceDelta delta) {
  ChoiceDelta& whole = gathered_[static_cast<size_t>(delta.choice_index)];
  AppendDelta(std::move(delta), whole);
}

Json CompletionAnswer::Whole(const Usage& usage) {
  Json document = Envelope();
  Json choices = Json::array();
  for (const ChoiceDelta& whole : gathered_) choices.push_back(Choice(whole, /*is_first=*/true));
  document["choices"] = std::move(choices);
  document["usage"] = UsageJson(usage);
  return document;
}

}  // namespace tessera
