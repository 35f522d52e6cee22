#include "server/session/choice.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace tessera {
namespace {

// The engine promises finite values; JSON cannot say anything else, so they are made so here too.
float Finite(float logprob) { return std::isfinite(logprob) ? std::max(logprob, kLogprobFloor) : kLogprobFloor; }

void MakeFinite(std::vector<PositionLogprobs>& positions) {
  for (PositionLogprobs& position : positions) {
    position.token.logprob = Finite(position.token.logprob);
    for (TokenLogprob& top : position.top) top.logprob = Finite(top.logprob);
  }
}

void Append(std::vector<OutputEvent>& events, ChoiceDelta& delta) {
  for (OutputEvent& event : events) {
    switch (event.kind) {
      case OutputEvent::Kind::kReasoning:
        delta.reasoning += event.text;
        break;
      case OutputEvent::Kind::kContent:
        delta.text += event.text;
        break;
      case OutputEvent::Kind::kToolCallStart:
        delta.tool_calls.push_back(
            {.index = event.tool_index, .id = std::move(event.call_id), .name = std::move(event.name)});
        break;
      case OutputEvent::Kind::kToolArguments:
        delta.tool_calls.push_back({.index = event.tool_index, .arguments = std::move(event.text)});
        break;
    }
  }
}

}  // namespace

Choice::Choice(const Tokenizer& tokenizer, ChoiceOptions options)
    : options_(std::move(options)), decoder_(tokenizer, /*skip_special=*/true), parser_(options_.parser) {}

std::string Choice::TakeEcho() {
  std::string text = options_.echo_text;
  // Through the decoder of the answer: a character may begin in the prompt's last token.
  for (const TokenId id : options_.echo_ids) text += decoder_.Push(id);
  return text;
}

void Choice::PushPromptLogprobs(RequestTokens& tokens, ChoiceDelta& delta) {
  MakeFinite(tokens.prompt_logprobs);
  std::move(tokens.prompt_logprobs.begin(), tokens.prompt_logprobs.end(), std::back_inserter(prompt_logprobs_));
  if (has_started_) delta.prompt_logprobs = std::exchange(prompt_logprobs_, {});
}

size_t Choice::PushTokens(const RequestTokens& tokens, std::vector<OutputEvent>& events) {
  for (size_t i = 0; i < tokens.tokens.size(); ++i) {
    ++num_tokens_;
    const bool was_reasoning = parser_.in_reasoning();
    const bool is_stop_token = tokens.finish == FinishReason::kStop && i + 1 == tokens.tokens.size();
    if (is_stop_token) {  // a control token or the client's own: it ends the text and is not part of it
      if (was_reasoning) ++num_reasoning_tokens_;
      continue;
    }
    const TokenId id = tokens.tokens[i];
    stop_matched_ = parser_.Push(id, decoder_.Push(id), events);
    if (was_reasoning || parser_.in_reasoning()) ++num_reasoning_tokens_;
    if (stop_matched_) return i + 1;
  }
  return tokens.tokens.size();
}

void Choice::Finish(const RequestTokens& tokens, std::vector<OutputEvent>& events, ChoiceDelta& delta) {
  if (!stop_matched_) parser_.PushText(decoder_.Flush(), events);
  parser_.Finish(events);
  is_finished_ = true;
  if (parser_.stop_match().has_value()) {
    delta.finish = ChoiceFinish::kStop;
    delta.matched_stop = options_.parser.stops->stops()[static_cast<size_t>(parser_.stop_match()->stop_index)];
  } else if (tokens.finish == FinishReason::kLength) {
    delta.finish = ChoiceFinish::kLength;
  } else {
    delta.finish = parser_.finished_in_tool_calls() ? ChoiceFinish::kToolCalls : ChoiceFinish::kStop;
    if (!tokens.tokens.empty()) delta.matched_stop_token = tokens.tokens.back();
  }
}

ChoiceDelta Choice::Push(RequestTokens tokens) {
  TESSERA_CHECK(!is_finished_);
  ChoiceDelta delta{.choice_index = options_.choice_index};
  engine_finished_ = tokens.finish.has_value();
  const bool starts = !has_started_ && (!tokens.tokens.empty() || engine_finished_);
  if (starts) {
    has_started_ = true;
    delta.text = TakeEcho();
  }
  if (!tokens.tokens.empty() && num_tokens_ == 0) num_cached_prompt_tokens_ = tokens.num_cached_tokens;
  PushPromptLogprobs(tokens, delta);
  std::vector<OutputEvent> events;
  if (options_.drops_tokens) {
    if (engine_finished_) {
      delta.text += decoder_.Flush();
      delta.finish = ChoiceFinish::kLength;
      is_finished_ = true;
    }
    return delta;
  }
  const size_t num_taken = PushTokens(tokens, events);
  if (options_.has_logprobs) {
    tokens.logprobs.resize(std::min(tokens.logprobs.size(), num_taken));
    MakeFinite(tokens.logprobs);
    delta.logprobs = std::move(tokens.logprobs);
  }
  if (options_.return_token_ids) {
    delta.token_ids.assign(tokens.tokens.begin(), tokens.tokens.begin() + static_cast<std::ptrdiff_t>(num_taken));
  }
  if (stop_matched_ || engine_finished_) Finish(tokens, events, delta);
  Append(events, delta);
  return delta;
}

}  // namespace tessera
