#include "server/http/api_request.h"

#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "scheduler/contract/request.h"
#include "server/http/field_reader.h"
#include "server/http/sampling_fields.h"

namespace tessera {
namespace {

constexpr size_t kPromptsMax = 128;

void ReadChatLogprobs(FieldReader& reader, GenerateRequest& request) {
  bool logprobs = false;
  std::optional<int32_t> top_logprobs;
  reader.Read("logprobs", logprobs);
  reader.Read("top_logprobs", top_logprobs);
  if (top_logprobs.has_value() && (*top_logprobs < 0 || *top_logprobs > kMaxLogprobs)) {
    return reader.Refuse("top_logprobs", absl::StrFormat("%d", *top_logprobs),
                         absl::StrFormat("0 to %d", kMaxLogprobs));
  }
  if (logprobs) {
    request.logprobs = top_logprobs.value_or(0);
  } else if (top_logprobs.value_or(0) != 0) {
    reader.Refuse("top_logprobs", absl::StrFormat("%d", *top_logprobs), "logprobs to be true as well");
  }
}

absl::StatusOr<TokenPrompt> ParseTokenPrompt(const Json& ids, const std::string& path) {
  TokenPrompt prompt;
  prompt.ids.reserve(ids.size());
  for (const Json& id : ids) {
    const std::optional<int32_t> value = ToInt32(id);
    if (!value.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s[%d]: got %s, wanted a token id", path, prompt.ids.size(), Describe(id)));
    }
    prompt.ids.push_back(*value);
  }
  return prompt;
}

// `prompt`: a string, token ids, or an array of several of one kind.
absl::StatusOr<std::vector<Prompt>> ParsePrompts(const Json* prompt, std::optional<bool> add_special_tokens) {
  if (prompt == nullptr) return absl::InvalidArgumentError("prompt: got none, wanted a string or token ids");
  const auto text = [&](const Json& json) { return TextPrompt{json.get<std::string>(), add_special_tokens}; };
  std::vector<Prompt> prompts;
  if (prompt->is_string()) {
    prompts.emplace_back(text(*prompt));
    return prompts;
  }
  if (!prompt->is_array() || prompt->empty()) {
    return absl::InvalidArgumentError(absl::StrFormat("prompt: got %s, wanted a string or token ids",
                                                      prompt->is_array() ? "an empty array" : Describe(*prompt)));
  }
  if (prompt->front().is_number()) {
    TESSERA_ASSIGN_OR_RETURN(TokenPrompt ids, ParseTokenPrompt(*prompt, "prompt"));
    prompts.emplace_back(std::move(ids));
    return prompts;
  }
  if (prompt->size() > kPromptsMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("prompt: got %d prompts, wanted at most %d", prompt->size(), kPromptsMax));
  }
  for (size_t i = 0; i < prompt->size(); ++i) {
    const Json& one = (*prompt)[i];
    if (one.is_string()) {
      prompts.emplace_back(text(one));
    } else if (one.is_array()) {
      TESSERA_ASSIGN_OR_RETURN(TokenPrompt ids, ParseTokenPrompt(one, absl::StrFormat("prompt[%d]", i)));
      prompts.emplace_back(std::move(ids));
    } else {
      return absl::InvalidArgumentError(
          absl::StrFormat("prompt[%d]: got %s, wanted a string or token ids", i, Describe(one)));
    }
  }
  return prompts;
}

}  // namespace

absl::StatusOr<Json> ParseBody(std::string_view body, const JsonLimits& limits) {
  absl::StatusOr<Json> json = ParseJson(body, limits);
  if (!json.ok()) return absl::InvalidArgumentError(absl::StrFormat("body: %s", json.status().message()));
  if (!json->is_object()) {
    return absl::InvalidArgumentError(absl::StrFormat("body: got %s, wanted an object", Describe(*json)));
  }
  return json;
}

absl::StatusOr<ApiRequest> ParseChatRequest(std::string_view text, const JsonLimits& limits) {
  TESSERA_ASSIGN_OR_RETURN(const Json body, ParseBody(text, limits));
  TESSERA_RETURN_IF_ERROR(RefuseUnsupported(body));
  TESSERA_ASSIGN_OR_RETURN(ChatPrompt prompt, ParseChatPrompt(body));
  ApiRequest request;
  request.generate.prompts.emplace_back(std::move(prompt));
  FieldReader reader(body, "");
  ReadSharedFields(reader, request.generate);
  ReadChatLogprobs(reader, request.generate);
  const StreamFields stream = ReadStreamFields(reader);
  bool echo = false;
  reader.Read("echo", echo);
  if (echo) reader.Refuse("echo", "true", "false: a chat has no text to repeat");
  TESSERA_RETURN_IF_ERROR(reader.status());
  request.stream = stream.stream;
  request.include_usage = stream.include_usage;
  return request;
}

absl::StatusOr<ApiRequest> ParseCompletionRequest(std::string_view text, const JsonLimits& limits) {
  TESSERA_ASSIGN_OR_RETURN(const Json body, ParseBody(text, limits));
  TESSERA_RETURN_IF_ERROR(RefuseUnsupported(body));
  ApiRequest request;
  FieldReader reader(body, "");
  ReadSharedFields(reader, request.generate);
  reader.Read("logprobs", request.generate.logprobs);
  reader.Read("echo", request.generate.echo);
  std::optional<bool> add_special_tokens;
  reader.Read("add_special_tokens", add_special_tokens);
  const StreamFields stream = ReadStreamFields(reader);
  TESSERA_RETURN_IF_ERROR(reader.status());
  TESSERA_ASSIGN_OR_RETURN(request.generate.prompts, ParsePrompts(reader.Find("prompt"), add_special_tokens));
  if (request.generate.echo && request.generate.logprobs.has_value()) {
    // The echoed part of the answer has logprobs like the rest.
    request.generate.prompt_logprobs =
        std::max(request.generate.prompt_logprobs.value_or(0), *request.generate.logprobs);
  }
  request.stream = stream.stream;
  request.include_usage = stream.include_usage;
  return request;
}

}  // namespace tessera
