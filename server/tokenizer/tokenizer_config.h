#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tessera {

// What tokenizer_config.json (and chat_template.jinja, which wins) say beside the vocabulary.
struct TokenizerConfig {
  std::optional<std::string> bos_token;  // content of the token
  std::optional<std::string> eos_token;
  std::optional<bool> add_bos_token;  // for raw completion prompts only; chat templates write BOS themselves
  std::string chat_template;          // Jinja source; empty: none
};

absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(std::string_view json);

// Reads both files of a checkpoint folder; each may be missing.
absl::StatusOr<TokenizerConfig> LoadTokenizerConfig(const std::string& folder);

}  // namespace tessera
