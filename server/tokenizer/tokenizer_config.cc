#include "server/tokenizer/tokenizer_config.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "server/limits/bounded_file.h"
#include "server/limits/json_parser.h"

namespace tessera {
namespace {

constexpr int64_t kFileBytesMax = 16 << 20;
constexpr JsonLimits kJsonLimits{.depth_max = 32, .refuses_repeated_names = true};

// A token is written as its content or as an object with it; null or absent: there is none.
absl::StatusOr<std::optional<std::string>> ReadToken(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  const Json* content = &*found;
  if (content->is_object()) {
    const auto inner = content->find("content");
    if (inner != content->end()) content = &*inner;
  }
  if (!content->is_string()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: got %s, wanted text or an object with \"content\"", key, content->type_name()));
  }
  return content->get<std::string>();
}

// A template is text, or a list of named ones of which "default" counts.
absl::StatusOr<std::string> ReadChatTemplate(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const Json& entry : *found) {
      if (!entry.is_object() || entry.value("name", Json()) != "default") continue;
      const Json text = entry.value("template", Json());
      if (text.is_string()) return text.get<std::string>();
    }
    return absl::InvalidArgumentError("chat_template: a list without an entry named \"default\"");
  }
  return absl::InvalidArgumentError(absl::StrFormat("chat_template: got %s, wanted text", found->type_name()));
}

absl::StatusOr<std::optional<std::string>> ReadIfPresent(const std::string& path) {
  absl::StatusOr<std::string> text = ReadBoundedFile(path, kFileBytesMax);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  if (!text.ok()) return text.status();
  return *std::move(text);
}

}  // namespace

absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(std::string_view json) {
  TESSERA_ASSIGN_OR_RETURN(const Json document, ParseJson(json, kJsonLimits));
  if (!document.is_object()) return absl::InvalidArgumentError("not a JSON object");
  TokenizerConfig config;
  TESSERA_ASSIGN_OR_RETURN(config.bos_token, ReadToken(document, "bos_token"));
  TESSERA_ASSIGN_OR_RETURN(config.eos_token, ReadToken(document, "eos_token"));
  TESSERA_ASSIGN_OR_RETURN(config.chat_template, ReadChatTemplate(document));
  const auto add_bos = document.find("add_bos_token");
  if (add_bos != document.end() && !add_bos->is_null()) {
    if (!add_bos->is_boolean()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("add_bos_token: got %s, wanted true or false", add_bos->type_name()));
    }
    config.add_bos_token = add_bos->get<bool>();
  }
  return config;
}

absl::StatusOr<TokenizerConfig> LoadTokenizerConfig(const std::string& folder) {
  TokenizerConfig config;
  const std::string config_path = absl::StrCat(folder, "/tokenizer_config.json");
  TESSERA_ASSIGN_OR_RETURN(const std::optional<std::string> json, ReadIfPresent(config_path));
  if (json.has_value()) {
    absl::StatusOr<TokenizerConfig> parsed = ParseTokenizerConfig(*json);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrFormat("%s: %s", config_path, parsed.status().message()));
    }
    config = *std::move(parsed);
  }
  TESSERA_ASSIGN_OR_RETURN(std::optional<std::string> jinja,
                           ReadIfPresent(absl::StrCat(folder, "/chat_template.jinja")));
  if (jinja.has_value()) config.chat_template = *std::move(jinja);
  return config;
}

}  // namespace tessera
