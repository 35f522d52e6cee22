#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/contract/token_batch.h"
#include "server/limits/json_parser.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {

// `choices[].logprobs` of a chat: {content: [{token, logprob, bytes, top_logprobs}]}.
Json ChatLogprobs(const Tokenizer& tokenizer, const std::vector<PositionLogprobs>& positions);

// vLLM's `prompt_logprobs`: null for the first prompt token, then {"id": {logprob, decoded_token}} for each position.
Json PromptLogprobs(const Tokenizer& tokenizer, const std::vector<PositionLogprobs>& positions);

// `choices[].logprobs` of a text completion: {tokens, token_logprobs, top_logprobs, text_offset}. Tokens that are not
// whole characters are written "bytes:\xNN…", as OpenAI's API did.
class CompletionLogprobs {
 public:
  explicit CompletionLogprobs(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // A prompt token that nothing stands before: its logprobs are null.
  void AddFirstPromptToken(TokenId token);
  void Add(const std::vector<PositionLogprobs>& positions);
  // What was added since the last call; offsets go on.
  Json Take();

 private:
  void AddToken(TokenId token);

  const Tokenizer& tokenizer_;
  int64_t text_offset_ = 0;  // in characters
  Json tokens_ = Json::array();
  Json token_logprobs_ = Json::array();
  Json top_logprobs_ = Json::array();
  Json text_offsets_ = Json::array();
};

}  // namespace tessera
