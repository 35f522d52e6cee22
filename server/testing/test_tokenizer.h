#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "server/chat/chat_format.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {

// A vocabulary of the 256 bytes (ids 0 to 255, one token each, so that every character beyond ASCII lies in several
// tokens) and DeepSeek's control tokens from id 256 on.
std::unique_ptr<const Tokenizer> MakeTestTokenizer();

// Ids that spell `text`; control tokens by their names.
std::vector<TokenId> Spell(const Tokenizer& tokenizer, std::string_view text);

ChatFormat MakeTestChatFormat(const Tokenizer& tokenizer, std::string_view name);  // v2, v3, r1, v3.1

}  // namespace tessera
