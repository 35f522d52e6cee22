#include "server/http/logprobs_json.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/tokenizer/utf8.h"

namespace tessera {
namespace {

Json BytesOf(std::string_view text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<int>(static_cast<unsigned char>(c)));
  return bytes;
}

Json ChatToken(const Tokenizer& tokenizer, const TokenLogprob& token) {
  const std::string_view bytes = tokenizer.TokenBytes(token.token);
  return {{"token", RepairUtf8(bytes)}, {"logprob", token.logprob}, {"bytes", BytesOf(bytes)}};
}

// A name by which a token can be told from every other one.
std::string CompletionToken(const Tokenizer& tokenizer, TokenId token) {
  const std::string_view bytes = tokenizer.TokenBytes(token);
  if (bytes.empty()) return absl::StrCat("token_id:", token);
  if (ValidUtf8Prefix(bytes) == bytes.size()) return std::string(bytes);
  std::string name = "bytes:";
  for (const char c : bytes) absl::StrAppendFormat(&name, "\\x%02x", static_cast<unsigned char>(c));
  return name;
}

int64_t NumCharacters(std::string_view text) {
  int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

}  // namespace

Json ChatLogprobs(const Tokenizer& tokenizer, const std::vector<PositionLogprobs>& positions) {
  Json content = Json::array();
  for (const PositionLogprobs& position : positions) {
    Json entry = ChatToken(tokenizer, position.token);
    Json top = Json::array();
    for (const TokenLogprob& token : position.top) top.push_back(ChatToken(tokenizer, token));
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json PromptLogprobs(const Tokenizer& tokenizer, const std::vector<PositionLogprobs>& positions) {
  Json result = Json::array({nullptr});
  for (const PositionLogprobs& position : positions) {
    Json entry = Json::object();
    const auto add = [&](const TokenLogprob& token) {
      entry[absl::StrCat(token.token)] = {{"logprob", token.logprob},
                                          {"decoded_token", RepairUtf8(tokenizer.TokenBytes(token.token))}};
    };
    add(position.token);
    for (const TokenLogprob& token : position.top) add(token);
    result.push_back(std::move(entry));
  }
  return result;
}

void CompletionLogprobs::AddToken(TokenId token) {
  tokens_.push_back(CompletionToken(tokenizer_, token));
  text_offsets_.push_back(text_offset_);
  // A control token is not in the text.
  if (!tokenizer_.IsSpecial(token)) text_offset_ += NumCharacters(tokenizer_.TokenBytes(token));
}

void CompletionLogprobs::AddFirstPromptToken(TokenId token) {
  AddToken(token);
  token_logprobs_.push_back(nullptr);
  top_logprobs_.push_back(nullptr);
}

void CompletionLogprobs::Add(const std::vector<PositionLogprobs>& positions) {
  for (const PositionLogprobs& position : positions) {
    AddToken(position.token.token);
    token_logprobs_.push_back(position.token.logprob);
    Json top = Json::object();
    for (const TokenLogprob& token : position.top) top[CompletionToken(tokenizer_, token.token)] = token.logprob;
    // The token that stands there is always listed.
    top[CompletionToken(tokenizer_, position.token.token)] = position.token.logprob;
    top_logprobs_.push_back(std::move(top));
  }
}

Json CompletionLogprobs::Take() {
  return {{"tokens", std::exchange(tokens_, Json::array())},
          {"token_logprobs", std::exchange(token_logprobs_, Json::array())},
          {"top_logprobs", std::exchange(top_logprobs_, Json::array())},
          {"text_offset", std::exchange(text_offsets_, Json::array())}};
}

}  // namespace tessera
