#include "server/http/sampling_fields.h"

#include <array>
#include <charconv>
#include <string>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

// `stop`: a string, or an array of strings.
void ReadStop(FieldReader& reader, GenerateRequest& request) {
  const Json* stop = reader.Find("stop");
  if (stop == nullptr) return;
  if (stop->is_string()) {
    request.stop = {stop->get<std::string>()};
    return;
  }
  if (!stop->is_array()) return reader.Refuse("stop", Describe(*stop), "a string or an array of strings");
  for (size_t i = 0; i < stop->size(); ++i) {
    const Json& entry = (*stop)[i];
    if (!entry.is_string()) return reader.Refuse(absl::StrFormat("stop[%d]", i), Describe(entry), "a string");
    request.stop.push_back(entry.get<std::string>());
  }
}

// `logit_bias`: {"token id": bias}.
void ReadLogitBias(FieldReader& reader, SamplingOptions& sampling) {
  const Json* biases = reader.FindObject("logit_bias");
  if (biases == nullptr) return;
  for (const auto& [key, value] : biases->get_ref<const Json::object_t&>()) {
    TokenId token = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc() || end != key.data() + key.size()) {
      return reader.Refuse("logit_bias", absl::StrFormat("the key '%s'", key.substr(0, 64)), "token ids as keys");
    }
    if (!value.is_number()) return reader.Refuse(absl::StrFormat("logit_bias[%s]", key), Describe(value), "a number");
    sampling.logit_bias.emplace_back(token, static_cast<float>(value.get<double>()));
  }
}

// `max_tokens` and its newer name.
void ReadMaxTokens(FieldReader& reader, GenerateRequest& request) {
  std::optional<int64_t> newer;
  reader.Read("max_tokens", request.max_tokens);
  reader.Read("max_completion_tokens", newer);
  if (newer.has_value() && request.max_tokens.has_value() && *newer != *request.max_tokens) {
    reader.Refuse("max_completion_tokens", absl::StrFormat("%d", *newer),
                  absl::StrFormat("the same as max_tokens (%d), or only one of them", *request.max_tokens));
  }
  if (newer.has_value()) request.max_tokens = newer;
}

// Of a field in kRefused: the value that asks for nothing.
bool AsksForNothing(const Json& value) {
  return value.is_null() || value == Json(false) ||
         (value.is_string() && value.get_ref<const std::string&>().empty()) || (value.is_structured() && value.empty());
}

constexpr std::array kRefused = {
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
    "grammar",
    "json_schema",
    "regex",
    "ebnf",
    "functions",
    "function_call",
    "audio",
    "use_beam_search",
    "bad_words",
    "allowed_token_ids",
    "logits_processors",
    "chat_template",
    "documents",
    "truncate_prompt_tokens",
    "web_search_options",
    "include_stop_str_in_output",
    "suffix",
};

absl::Status RefuseResponseFormat(const Json& body) {
  FieldReader reader(body, "");
  const Json* format = reader.FindObject("response_format");
  TESSERA_RETURN_IF_ERROR(reader.status());
  if (format == nullptr) return absl::OkStatus();
  FieldReader fields(*format, "response_format.");
  std::string type;
  fields.Read("type", type);
  TESSERA_RETURN_IF_ERROR(fields.status());
  if (type == "text") return absl::OkStatus();
  if (type == "json_object" || type == "json_schema") {
    return absl::UnimplementedError(absl::StrFormat(
        "response_format.type: '%s' is not supported: the answer could not be held to it; wanted 'text'", type));
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("response_format.type: got '%s', wanted 'text'", type.substr(0, 64)));
}

}  // namespace

absl::Status RefuseUnsupported(const Json& body) {
  FieldReader reader(body, "");
  for (const char* name : kRefused) {
    const Json* value = reader.Find(name);
    if (value == nullptr || AsksForNothing(*value)) continue;
    return absl::UnimplementedError(absl::StrFormat("%s: not supported", name));
  }
  int32_t n = 1;
  std::optional<int32_t> best_of;
  reader.Read("n", n);
  reader.Read("best_of", best_of);
  if (best_of.has_value() && *best_of != n) {
    return absl::UnimplementedError(
        absl::StrFormat("best_of: got %d, only the same as n (%d) is supported", *best_of, n));
  }
  return RefuseResponseFormat(body);
}

void ReadSharedFields(FieldReader& reader, GenerateRequest& request) {
  SamplingOptions& sampling = request.sampling;
  reader.Read("model", request.model);
  ReadMaxTokens(reader, request);
  reader.Read("min_tokens", request.min_tokens);
  reader.Read("n", request.n);
  reader.Read("temperature", sampling.temperature);
  reader.Read("top_p", sampling.top_p);
  reader.Read("top_k", sampling.top_k);
  if (sampling.top_k == -1) sampling.top_k = 0;  // how vLLM's clients say: no limit
  reader.Read("min_p", sampling.min_p);
  reader.Read("repetition_penalty", sampling.repetition_penalty);
  reader.Read("frequency_penalty", sampling.frequency_penalty);
  reader.Read("presence_penalty", sampling.presence_penalty);
  reader.Read("seed", sampling.seed);
  ReadLogitBias(reader, sampling);
  ReadStop(reader, request);
  reader.Read("stop_token_ids", request.stop_token_ids);
  reader.Read("ignore_eos", request.ignore_eos);
  reader.Read("prompt_logprobs", request.prompt_logprobs);
  reader.Read("priority", request.priority);
  reader.Read("return_token_ids", request.return_token_ids);
}

StreamFields ReadStreamFields(FieldReader& reader) {
  StreamFields fields;
  reader.Read("stream", fields.stream);
  if (const Json* options = reader.FindObject("stream_options")) {
    FieldReader option_reader(*options, reader.Path("stream_options."));
    option_reader.Read("include_usage", fields.include_usage);
    if (!option_reader.status().ok()) reader.Fail(option_reader.status());
  }
  return fields;
}

}  // namespace tessera
