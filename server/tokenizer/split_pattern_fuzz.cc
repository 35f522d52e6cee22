// Any bytes as a regex of tokenizer.json: refused, or PCRE2 takes it and the pieces make up the text.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "nlohmann/json.hpp"
#include "server/tokenizer/pre_tokenizer.h"
#include "server/tokenizer/split_pattern.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tessera;
  using Json = nlohmann::ordered_json;
  const std::string regex(reinterpret_cast<const char*>(data), size);
  if (!TranslateSplitPattern(regex).ok()) return 0;
  const Json split = {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}};
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const auto pre_tokenizer =
      PreTokenizer::FromJson({{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level})}});
  // A translated pattern can only be too large for PCRE2, never wrong.
  TESSERA_CHECK(pre_tokenizer.ok() || size > 1000);
  if (!pre_tokenizer.ok()) return 0;
  const std::string text = "Hello  world 12345\r\n\n\t日本é\u0301 <|> \u00a0\u3000 end   ";
  std::vector<std::string_view> pieces;
  TESSERA_CHECK_OK(pre_tokenizer->Split(text, pieces));
  std::string joined;
  for (const std::string_view piece : pieces) {
    TESSERA_CHECK(!piece.empty());
    joined += piece;
  }
  TESSERA_CHECK(joined == text);
  return 0;
}
