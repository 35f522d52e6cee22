// Any bytes as tokenizer.json: refused, or a tokenizer that works.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "server/tokenizer/tokenizer.h"
#include "server/tokenizer/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tessera;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = Tokenizer::FromJson(json, {});
  if (!tokenizer.ok()) {
    TESSERA_CHECK(!tokenizer.status().message().empty());
    return 0;
  }
  constexpr std::string_view kText = "Hello  <think> 123 \n\n日本 <｜User｜>é😀";
  for (const SpecialTokens special : {SpecialTokens::kParse, SpecialTokens::kAsText}) {
    const auto ids = (*tokenizer)->Encode(kText, special);
    TESSERA_CHECK(ids.ok());
    TESSERA_CHECK((*tokenizer)->Decode(*ids, /*skip_special=*/false) == kText);
  }
  return 0;
}
