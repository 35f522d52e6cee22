#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/contract/token_batch.h"
#include "server/chat/output_parser.h"
#include "server/session/generate_event.h"
#include "server/tokenizer/stream_decoder.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {

struct ChoiceOptions {
  int32_t choice_index = 0;
  OutputParserOptions parser;
  bool return_token_ids = false;
  bool has_logprobs = false;
  std::string echo_text;          // comes before the first generated text
  std::vector<TokenId> echo_ids;  // the same, given as ids
  bool drops_tokens = false;      // max_tokens 0: the engine had to make one
};

// Turns the tokens of one choice into what its client sees: text, reasoning, tool calls, the end. The same tokens give
// the same answer however they are cut into batches. Not thread-safe.
class Choice {
 public:
  // The tokenizer must outlive it.
  Choice(const Tokenizer& tokenizer, ChoiceOptions options);

  // Requires: !is_finished(). Tokens after a stop string are dropped and not counted.
  ChoiceDelta Push(RequestTokens tokens);

  // The answer is whole, because the engine said so or a stop string matched.
  bool is_finished() const { return is_finished_; }
  // The engine still works on it, for nothing: a stop string ended it.
  bool engine_runs_on() const { return is_finished_ && !engine_finished_; }

  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_reasoning_tokens() const { return num_reasoning_tokens_; }
  int64_t num_cached_prompt_tokens() const { return num_cached_prompt_tokens_; }

 private:
  // Returns how many of the tokens belong to the answer: all of them, unless a stop string matches.
  size_t PushTokens(const RequestTokens& tokens, std::vector<OutputEvent>& events);
  void PushPromptLogprobs(RequestTokens& tokens, ChoiceDelta& delta);
  void Finish(const RequestTokens& tokens, std::vector<OutputEvent>& events, ChoiceDelta& delta);
  std::string TakeEcho();

  const ChoiceOptions options_;
  StreamDecoder decoder_;
  OutputParser parser_;
  std::vector<PositionLogprobs> prompt_logprobs_;  // until the first token
  bool has_started_ = false;
  bool is_finished_ = false;
  bool engine_finished_ = false;
  bool stop_matched_ = false;
  int64_t num_tokens_ = 0;
  int64_t num_reasoning_tokens_ = 0;
  int64_t num_cached_prompt_tokens_ = 0;
};

}  // namespace tessera
