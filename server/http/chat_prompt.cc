#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "server/http/api_request.h"
#include "server/http/field_reader.h"

namespace tessera {
namespace {

// A string, or parts {"type": "text", "text": …} that are joined.
void ReadContent(FieldReader& reader, ChatMessage& message) {
  const Json* content = reader.Find("content");
  if (content == nullptr) return;
  if (content->is_string()) {
    message.content = content->get<std::string>();
    return;
  }
  if (!content->is_array()) return reader.Refuse("content", Describe(*content), "a string or an array of parts");
  message.content.emplace();
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string path = absl::StrFormat("%s[%d].", reader.Path("content"), i);
    FieldReader part((*content)[i], path);
    std::string type;
    std::optional<std::string> text;
    part.Read("type", type);
    part.Read("text", text);
    if (type != "text" || !text.has_value()) {
      part.Refuse("type", absl::StrFormat("'%s'", type.substr(0, 64)), "'text' with a text");
    }
    if (!part.status().ok()) return reader.Fail(part.status());
    *message.content += *text;
  }
}

absl::StatusOr<ToolCall> ParseToolCall(const Json& json, const std::string& path) {
  FieldReader reader(json, path);
  ToolCall call;
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: got %s, wanted an object", path.substr(0, path.size() - 1), Describe(json)));
  }
  reader.Read("id", call.id);
  const Json* function = reader.FindObject("function");
  if (function == nullptr) reader.Refuse("function", "none", "an object");
  TESSERA_RETURN_IF_ERROR(reader.status());
  FieldReader fields(*function, path + "function.");
  fields.Read("name", call.name);
  if (call.name.empty()) fields.Refuse("name", "''", "a name");
  if (const Json* arguments = fields.Find("arguments")) {
    // Clients send text; some send the object itself.
    call.arguments = arguments->is_string() ? arguments->get<std::string>() : arguments->dump();
  }
  TESSERA_RETURN_IF_ERROR(fields.status());
  return call;
}

absl::StatusOr<ChatMessage> ParseMessage(const Json& json, size_t index) {
  const std::string path = absl::StrFormat("messages[%d].", index);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrFormat("messages[%d]: got %s, wanted an object", index, Describe(json)));
  }
  FieldReader reader(json, path);
  ChatMessage message;
  reader.Read("role", message.role);
  if (message.role.empty()) reader.Refuse("role", "none", "system, user, assistant or tool");
  ReadContent(reader, message);
  reader.Read("reasoning", message.reasoning_content);
  reader.Read("reasoning_content", message.reasoning_content);
  reader.Read("tool_call_id", message.tool_call_id);
  reader.Read("name", message.name);
  reader.Read("prefix", message.prefix);
  if (const Json* calls = reader.FindArray("tool_calls")) {
    for (size_t i = 0; i < calls->size(); ++i) {
      TESSERA_ASSIGN_OR_RETURN(ToolCall call,
                               ParseToolCall((*calls)[i], absl::StrFormat("%stool_calls[%d].", path, i)));
      message.tool_calls.push_back(std::move(call));
    }
  }
  TESSERA_RETURN_IF_ERROR(reader.status());
  return message;
}

absl::StatusOr<ToolDefinition> ParseTool(const Json& json, size_t index) {
  const std::string path = absl::StrFormat("tools[%d].", index);
  FieldReader reader(json, path);
  std::string type = "function";
  reader.Read("type", type);
  const Json* function = reader.FindObject("function");
  if (type != "function" || function == nullptr) {
    reader.Refuse("type", absl::StrFormat("'%s'", type.substr(0, 64)), "'function' with a function");
  }
  TESSERA_RETURN_IF_ERROR(reader.status());
  FieldReader fields(*function, path + "function.");
  ToolDefinition tool;
  bool strict = false;
  fields.Read("name", tool.name);
  fields.Read("description", tool.description);
  fields.Read("strict", strict);
  if (const Json* parameters = fields.FindObject("parameters")) tool.parameters_json = parameters->dump();
  if (tool.name.empty()) fields.Refuse("name", "''", "a name");
  TESSERA_RETURN_IF_ERROR(fields.status());
  if (strict) {
    return absl::UnimplementedError(absl::StrFormat(
        "%sfunction.strict: true is not supported: the arguments could not be held to the schema", path));
  }
  return tool;
}

// auto and none; what would force a call is refused.
absl::Status ReadToolChoice(FieldReader& reader, ChatPrompt& prompt) {
  const Json* choice = reader.Find("tool_choice");
  if (choice == nullptr || *choice == "auto") return absl::OkStatus();
  if (*choice == "none") {
    prompt.uses_tools = false;
    return absl::OkStatus();
  }
  if (*choice == "required" || choice->is_object()) {
    return absl::UnimplementedError(absl::StrFormat(
        "tool_choice: %s is not supported yet: the answer could not be held to it; wanted 'auto' or 'none'",
        Describe(*choice)));
  }
  return absl::InvalidArgumentError(absl::StrFormat("tool_choice: got %s, wanted 'auto' or 'none'", Describe(*choice)));
}

// DeepSeek's `thinking: {type}` and the template argument that other servers take.
void ReadThinking(FieldReader& reader, ChatPrompt& prompt) {
  if (const Json* arguments = reader.FindObject("chat_template_kwargs")) {
    FieldReader fields(*arguments, "chat_template_kwargs.");
    fields.Read("enable_thinking", prompt.thinking);
    fields.Read("thinking", prompt.thinking);
    if (!fields.status().ok()) reader.Fail(fields.status());
  }
  if (const Json* thinking = reader.FindObject("thinking")) {
    FieldReader fields(*thinking, "thinking.");
    std::string type;
    fields.Read("type", type);
    if (type != "enabled" && type != "disabled") {
      fields.Refuse("type", absl::StrFormat("'%s'", type.substr(0, 64)), "'enabled' or 'disabled'");
    }
    if (!fields.status().ok()) return reader.Fail(fields.status());
    prompt.thinking = type == "enabled";
  }
}

}  // namespace

absl::StatusOr<ChatPrompt> ParseChatPrompt(const Json& body) {
  FieldReader reader(body, "");
  ChatPrompt prompt;
  const Json* messages = reader.FindArray("messages");
  if (messages == nullptr) reader.Refuse("messages", "none", "an array with at least 1 message");
  TESSERA_RETURN_IF_ERROR(reader.status());
  if (messages->empty()) return absl::InvalidArgumentError("messages: got none, wanted at least 1");
  for (size_t i = 0; i < messages->size(); ++i) {
    TESSERA_ASSIGN_OR_RETURN(ChatMessage message, ParseMessage((*messages)[i], i));
    prompt.messages.push_back(std::move(message));
  }
  if (const Json* tools = reader.FindArray("tools")) {
    for (size_t i = 0; i < tools->size(); ++i) {
      TESSERA_ASSIGN_OR_RETURN(ToolDefinition tool, ParseTool((*tools)[i], i));
      prompt.tools.push_back(std::move(tool));
    }
  }
  TESSERA_RETURN_IF_ERROR(ReadToolChoice(reader, prompt));
  ReadThinking(reader, prompt);
  reader.Read("add_generation_prompt", prompt.add_generation_prompt);
  reader.Read("continue_final_message", prompt.continue_final_message);
  bool parallel_tool_calls = true;
  reader.Read("parallel_tool_calls", parallel_tool_calls);
  TESSERA_RETURN_IF_ERROR(reader.status());
  if (!parallel_tool_calls && prompt.uses_tools && !prompt.tools.empty()) {
    return absl::UnimplementedError("parallel_tool_calls: false is not supported: the answer could not be held to it");
  }
  return prompt;
}

}  // namespace tessera
