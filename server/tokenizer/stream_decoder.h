#pragma once

#include <string>

#include "base/ids.h"
#include "server/tokenizer/tokenizer.h"
#include "server/tokenizer/utf8.h"

namespace tessera {

// Turns the tokens of one answer into text as they come. Works on bytes: holds back the bytes of a character that is
// not complete yet (at most three) and never emits a part of one. The pieces joined equal Tokenizer::Decode of all ids.
// One per stream, not thread-safe; the tokenizer must outlive it.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special) : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  // The text that became complete with this token; may be empty.
  std::string Push(TokenId id);

  // At the end of the stream: U+FFFD if a character is still incomplete, else nothing.
  std::string Flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  Utf8Assembler assembler_;
};

}  // namespace tessera
