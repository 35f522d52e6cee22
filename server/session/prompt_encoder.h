#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "server/chat/chat_format.h"
#include "server/session/generate_request.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {

// A prompt as the engine gets it, and how its answer is to be read.
struct EncodedPrompt {
  std::vector<TokenId> ids;
  OutputParserOptions parser;  // without stops
};

// Renders and tokenizes prompts. Takes time linear in their length: never on a thread that serves sockets. Immutable.
class PromptEncoder {
 public:
  // Both must outlive it.
  PromptEncoder(const Tokenizer& tokenizer, const ChatFormat& format, bool default_thinking)
      : tokenizer_(tokenizer), format_(format), default_thinking_(default_thinking) {}

  absl::StatusOr<EncodedPrompt> Encode(const Prompt& prompt) const;

 private:
  absl::StatusOr<EncodedPrompt> EncodeChat(const ChatPrompt& chat) const;

  const Tokenizer& tokenizer_;
  const ChatFormat& format_;
  bool default_thinking_;
};

}  // namespace tessera
