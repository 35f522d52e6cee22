#include "server/tokenizer/stream_decoder.h"

namespace tessera {

std::string StreamDecoder::Push(TokenId id) {
  std::string text;
  if (skip_special_ && tokenizer_->IsSpecial(id)) return text;
  assembler_.Push(tokenizer_->TokenBytes(id), text);
  return text;
}

std::string StreamDecoder::Flush() {
  std::string text;
  assembler_.Flush(text);
  return text;
}

}  // namespace tessera
