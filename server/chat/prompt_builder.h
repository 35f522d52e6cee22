#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/tokenizer/tokenizer.h"

namespace tessera {

// Collects a prompt, keeping apart what the format writes and what others wrote.
class PromptBuilder {
 public:
  void Template(std::string_view text) { Append(text, SpecialTokens::kParse); }
  void Content(std::string_view text) { Append(text, SpecialTokens::kAsText); }

  std::vector<TextSegment> Take() { return std::move(segments_); }

 private:
  void Append(std::string_view text, SpecialTokens special) {
    if (text.empty()) return;
    if (segments_.empty() || segments_.back().special != special) segments_.push_back({{}, special});
    segments_.back().text += text;
  }

  std::vector<TextSegment> segments_;
};

}  // namespace tessera
