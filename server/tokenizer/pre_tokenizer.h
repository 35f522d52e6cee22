#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace tessera {

// Cuts text into the pieces inside of which BPE merges, by the `pre_tokenizer` of tokenizer.json: a sequence of Splits
// (regexes, see split_pattern.h) and Digits, then ByteLevel. Each step cuts the pieces of the one before. Immutable
// and thread-safe.
class PreTokenizer {
 public:
  // Errors name the entry and what about it is not supported.
  static absl::StatusOr<PreTokenizer> FromJson(const nlohmann::ordered_json& pre_tokenizer);

  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Replaces `pieces` by the pieces of `text`, in order, none empty. Requires: `text` is valid UTF-8. O(text).
  absl::Status Split(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  class Step;
  PreTokenizer();

  std::vector<std::unique_ptr<const Step>> steps_;
};

}  // namespace tessera
