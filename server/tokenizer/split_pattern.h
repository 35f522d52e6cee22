#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tessera {

// What one Split of a pre-tokenizer looks for.
struct SplitPattern {
  std::string pcre2;         // source for PCRE2 with UTF and UCP
  bool only_at_end = false;  // only the match that ends the piece counts (the pattern was `C+$`)

  friend bool operator==(const SplitPattern&, const SplitPattern&) = default;
};

// Translates a regex of tokenizer.json, written for Oniguruma, into PCRE2 with the same meaning: \s is Unicode
// White_Space (PCRE2's has U+180E too), \p{..} has the characters of Unicode 16 (PCRE2 10.42: of Unicode 14).
//
// Accepted is what the DeepSeek pre-tokenizers use: alternatives of single characters, classes, \s, \S and
// \p{L}, {M}, {N}, {P}, {S}, each with ?, *, +, {n}, {m,n}; at the end of an alternative (?!x) with x one of these, or
// C+$ as the whole pattern. All else is refused, so is a pattern that may match nothing, and one that may take more
// than linear time to go through a text: input of a client must not be able to choose a slow case.
absl::StatusOr<SplitPattern> TranslateSplitPattern(std::string_view regex);

// The pattern of a fixed text.
SplitPattern LiteralSplitPattern(std::string_view text);

}  // namespace tessera
