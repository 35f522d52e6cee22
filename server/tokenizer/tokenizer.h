#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "server/tokenizer/tokenizer_config.h"

namespace tessera {

// What to do with text that spells an added token such as <｜User｜> or </think>.
enum class SpecialTokens {
  kParse,   // it becomes the control token: text that comes from a template or from us
  kAsText,  // it stays ordinary text: anything that a client, a tool or a file wrote
};

// A stretch of text of one origin. Neighbours are tokenized as one text, but a control token is only ever found inside
// a single kParse segment.
struct TextSegment {
  std::string text;
  SpecialTokens special = SpecialTokens::kAsText;
};

// Byte-level BPE of the DeepSeek models, read from a checkpoint's tokenizer.json; gives the ids that the reference
// library (HF `tokenizers`) gives. Immutable after Load: every method is const and may be called from any thread.
// Time is O(n log n) in the length of the text, whatever it is.
// Text that is not valid UTF-8 is encoded as if each maximal invalid part were U+FFFD.
class Tokenizer {
 public:
  // Reads tokenizer.json, tokenizer_config.json and chat_template.jinja of a checkpoint folder.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(const std::string& folder);

  // The same from texts already in memory.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromJson(std::string_view tokenizer_json,
                                                                   TokenizerConfig config);

  // Everything wrong with the tokenizer files of a folder, one line each; empty: Load works. `vocab_size` is the one of
  // config.json: a token id at or beyond it is a problem too (nullopt: not compared).
  static std::vector<std::string> Check(const std::string& folder, std::optional<int64_t> vocab_size);

  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;
  ~Tokenizer();

  // Adds no BOS. Fails only if the pre-tokenizer's resource limits are exceeded, which no accepted pattern should do.
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, SpecialTokens special) const;

  // Encodes the joined text; see TextSegment. Adds no BOS.
  absl::StatusOr<std::vector<TokenId>> EncodeSegments(std::span<const TextSegment> segments) const;

  // A raw completion prompt: special tokens are parsed, and BOS is put first if `add_bos` (default: the checkpoint's
  // add_bos_token) unless the text itself starts with it.
  absl::StatusOr<std::vector<TokenId>> EncodeRawPrompt(std::string_view text, std::optional<bool> add_bos) const;

  // Text of `ids` as valid UTF-8, each maximal invalid part as one U+FFFD. `skip_special` drops tokens that the file
  // marks special (BOS, EOS …; not <think>). Ids without a token give nothing.
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const;

  // The bytes of one token, perhaps part of a character; empty if the id has no token.
  std::string_view TokenBytes(TokenId id) const;

  bool HasToken(TokenId id) const;
  bool IsAdded(TokenId id) const;    // one of added_tokens: never made from text by kAsText
  bool IsSpecial(TokenId id) const;  // added and marked special: dropped by skip_special

  // The added token with exactly this content, e.g. "<think>".
  std::optional<TokenId> FindAdded(std::string_view content) const;

  std::optional<TokenId> bos_id() const;
  std::optional<TokenId> eos_id() const;

  // Highest id with a token, plus one. The model's vocab_size may be larger.
  int32_t num_ids() const;

  const TokenizerConfig& config() const;

 private:
  struct Parts;
  explicit Tokenizer(std::unique_ptr<const Parts> parts);

  std::unique_ptr<const Parts> parts_;
};

}  // namespace tessera
