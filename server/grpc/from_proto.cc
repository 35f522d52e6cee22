#include "server/grpc/from_proto.h"

#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "server/limits/json_parser.h"

namespace tessera {
namespace {

ChatMessage FromProto(const v1::ChatMessage& in) {
  ChatMessage message{.role = in.role(),
                      .reasoning_content = in.reasoning_content(),
                      .tool_call_id = in.tool_call_id(),
                      .name = in.name()};
  if (in.has_content()) message.content = in.content();
  for (const v1::ToolCall& call : in.tool_calls()) {
    message.tool_calls.push_back({.id = call.id(), .name = call.name(), .arguments = call.arguments()});
  }
  return message;
}

absl::StatusOr<ToolDefinition> FromProto(const v1::Tool& in, int index) {
  ToolDefinition tool{.name = in.name(), .description = in.description()};
  if (in.name().empty()) {
    return absl::InvalidArgumentError(absl::StrFormat("tools[%d].name: got '', wanted a name", index));
  }
  if (in.parameters_json().empty()) return tool;
  const absl::StatusOr<Json> schema = ParseJson(in.parameters_json());
  if (!schema.ok() || !schema->is_object()) {
    return absl::InvalidArgumentError(absl::StrFormat("tools[%d].parameters_json: %s", index,
                                                      schema.ok() ? "wanted an object" : schema.status().message()));
  }
  tool.parameters_json = schema->dump();  // as from HTTP: the same prompt for the same tools
  return tool;
}

absl::StatusOr<ChatPrompt> FromProto(const v1::ChatPrompt& in) {
  ChatPrompt prompt{.continue_final_message = in.continue_final_message()};
  if (in.messages().empty()) return absl::InvalidArgumentError("messages: got none, wanted at least 1");
  for (const v1::ChatMessage& message : in.messages()) prompt.messages.push_back(FromProto(message));
  for (int i = 0; i < in.tools_size(); ++i) {
    TESSERA_ASSIGN_OR_RETURN(ToolDefinition tool, FromProto(in.tools(i), i));
    prompt.tools.push_back(std::move(tool));
  }
  if (in.has_thinking()) prompt.thinking = in.thinking();
  if (in.has_add_generation_prompt()) prompt.add_generation_prompt = in.add_generation_prompt();
  if (in.tool_choice() == "required") {
    return absl::UnimplementedError(
        "tool_choice: 'required' is not supported yet: the answer could not be held to it; wanted 'auto' or 'none'");
  }
  if (!in.tool_choice().empty() && in.tool_choice() != "auto" && in.tool_choice() != "none") {
    return absl::InvalidArgumentError(
        absl::StrFormat("tool_choice: got '%s', wanted 'auto' or 'none'", in.tool_choice().substr(0, 64)));
  }
  prompt.uses_tools = in.tool_choice() != "none";
  return prompt;
}

TextPrompt FromProto(const v1::TextPrompt& in) {
  TextPrompt prompt{.text = in.text()};
  if (in.has_add_special_tokens()) prompt.add_special_tokens = in.add_special_tokens();
  return prompt;
}

SamplingOptions FromProto(const v1::Sampling& in) {
  SamplingOptions out{.frequency_penalty = in.frequency_penalty(), .presence_penalty = in.presence_penalty()};
  if (in.has_temperature()) out.temperature = in.temperature();
  if (in.has_top_p()) out.top_p = in.top_p();
  if (in.has_top_k()) out.top_k = in.top_k();
  if (in.has_min_p()) out.min_p = in.min_p();
  if (in.has_repetition_penalty()) out.repetition_penalty = in.repetition_penalty();
  if (in.has_seed()) out.seed = in.seed();
  for (const auto& [token, bias] : in.logit_bias()) out.logit_bias.emplace_back(token, bias);
  return out;
}

void Fill(const TokenLogprob& in, const Tokenizer& tokenizer, v1::TokenLogprob& out) {
  out.set_token_id(in.token);
  out.set_token(std::string(tokenizer.TokenBytes(in.token)));
  out.set_logprob(in.logprob);
}

void Fill(const std::vector<PositionLogprobs>& in, const Tokenizer& tokenizer,
          google::protobuf::RepeatedPtrField<v1::PositionLogprobs>& out) {
  for (const PositionLogprobs& position : in) {
    v1::PositionLogprobs& to = *out.Add();
    Fill(position.token, tokenizer, *to.mutable_token());
    for (const TokenLogprob& top : position.top) Fill(top, tokenizer, *to.add_top());
  }
}

v1::FinishReason ToProto(ChoiceFinish finish) {
  switch (finish) {
    case ChoiceFinish::kStop:
      return v1::FINISH_REASON_STOP;
    case ChoiceFinish::kLength:
      return v1::FINISH_REASON_LENGTH;
    case ChoiceFinish::kToolCalls:
      return v1::FINISH_REASON_TOOL_CALLS;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<GenerateRequest> FromProto(const v1::GenerateRequest& in) {
  GenerateRequest out{.id = in.request_id(),
                      .model = in.model(),
                      .sampling = FromProto(in.sampling()),
                      .min_tokens = in.min_tokens(),
                      .stop = {in.stop().begin(), in.stop().end()},
                      .stop_token_ids = {in.stop_token_ids().begin(), in.stop_token_ids().end()},
                      .ignore_eos = in.ignore_eos(),
                      .echo = in.echo(),
                      .priority = in.priority(),
                      .return_token_ids = in.return_token_ids()};
  switch (in.prompt_case()) {
    case v1::GenerateRequest::kChat: {
      TESSERA_ASSIGN_OR_RETURN(ChatPrompt chat, FromProto(in.chat()));
      out.prompts.emplace_back(std::move(chat));
      if (in.echo()) return absl::InvalidArgumentError("echo: got true, wanted false: a chat has no text to repeat");
      break;
    }
    case v1::GenerateRequest::kText:
      out.prompts.emplace_back(FromProto(in.text()));
      break;
    case v1::GenerateRequest::kTokens:
      out.prompts.emplace_back(TokenPrompt{.ids = {in.tokens().ids().begin(), in.tokens().ids().end()}});
      break;
    case v1::GenerateRequest::PROMPT_NOT_SET:
      return absl::InvalidArgumentError("prompt: got none, wanted chat, text or tokens");
  }
  if (in.has_max_tokens()) out.max_tokens = in.max_tokens();
  if (in.has_n()) out.n = in.n();
  if (in.has_logprobs()) out.logprobs = in.logprobs();
  if (in.has_prompt_logprobs()) out.prompt_logprobs = in.prompt_logprobs();
  return out;
}

absl::StatusOr<Prompt> FromProto(const v1::TokenizeRequest& in) {
  if (in.has_chat()) {
    TESSERA_ASSIGN_OR_RETURN(ChatPrompt chat, FromProto(in.chat()));
    return Prompt(std::move(chat));
  }
  if (in.has_text()) return Prompt(FromProto(in.text()));
  return absl::InvalidArgumentError("prompt: got none, wanted chat or text");
}

v1::GenerateEvent ToProto(const StartedEvent& event, const std::string& request_id, bool with_ids) {
  v1::GenerateEvent out;
  v1::Started& started = *out.mutable_started();
  started.set_request_id(request_id);
  started.set_num_prompt_tokens(static_cast<int32_t>(event.num_prompt_tokens));
  if (with_ids && !event.prompt_ids.empty()) {
    started.mutable_prompt_token_ids()->Add(event.prompt_ids[0].begin(), event.prompt_ids[0].end());
  }
  return out;
}

v1::GenerateEvent ToProto(const ChoiceDelta& delta, const Tokenizer& tokenizer) {
  v1::GenerateEvent out;
  v1::ChoiceDelta& to = *out.mutable_delta();
  to.set_choice_index(delta.choice_index);
  to.set_text(delta.text);
  to.set_reasoning(delta.reasoning);
  for (const ToolCallDelta& call : delta.tool_calls) {
    v1::ToolCallDelta& part = *to.add_tool_calls();
    part.set_index(call.index);
    part.set_id(call.id);
    part.set_name(call.name);
    part.set_arguments(call.arguments);
  }
  to.mutable_token_ids()->Add(delta.token_ids.begin(), delta.token_ids.end());
  Fill(delta.logprobs, tokenizer, *to.mutable_logprobs());
  Fill(delta.prompt_logprobs, tokenizer, *to.mutable_prompt_logprobs());
  if (delta.finish.has_value()) to.set_finish_reason(ToProto(*delta.finish));
  if (delta.matched_stop.has_value()) to.set_matched_stop(*delta.matched_stop);
  if (delta.matched_stop_token.has_value()) to.set_matched_stop_token_id(*delta.matched_stop_token);
  return out;
}

v1::GenerateEvent ToProto(const Usage& usage) {
  v1::GenerateEvent out;
  v1::Usage& to = *out.mutable_usage();
  to.set_prompt_tokens(usage.prompt_tokens);
  to.set_cached_prompt_tokens(usage.cached_prompt_tokens);
  to.set_completion_tokens(usage.completion_tokens);
  to.set_reasoning_tokens(usage.reasoning_tokens);
  return out;
}

}  // namespace tessera
