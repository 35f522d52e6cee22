// Any bytes as text: encoding round-trips, message text never gives a control token, streaming equals whole decoding.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "server/tokenizer/stream_decoder.h"
#include "server/tokenizer/testing_vocabulary.h"
#include "server/tokenizer/tokenizer.h"
#include "server/tokenizer/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tessera;
  static const std::unique_ptr<const Tokenizer> tokenizer = *Tokenizer::FromJson(TestingVocabulary().dump(), {});
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string repaired = RepairUtf8(text);
  for (const SpecialTokens special : {SpecialTokens::kParse, SpecialTokens::kAsText}) {
    const auto ids = tokenizer->Encode(text, special);
    TESSERA_CHECK(ids.ok());
    TESSERA_CHECK(tokenizer->Decode(*ids, /*skip_special=*/false) == repaired);
    StreamDecoder decoder(*tokenizer, /*skip_special=*/false);
    std::string streamed;
    for (const TokenId id : *ids) {
      TESSERA_CHECK(special == SpecialTokens::kParse || !tokenizer->IsAdded(id));
      streamed += decoder.Push(id);
      TESSERA_CHECK(ValidUtf8Prefix(streamed) == streamed.size());
    }
    TESSERA_CHECK(streamed + decoder.Flush() == repaired);
  }
  // The same bytes as tokens of one byte each, in which characters may be cut anywhere.
  StreamDecoder decoder(*tokenizer, /*skip_special=*/false);
  std::string streamed;
  for (size_t i = 0; i < size; ++i) streamed += decoder.Push(data[i]);
  TESSERA_CHECK(streamed + decoder.Flush() == repaired);
  return 0;
}
