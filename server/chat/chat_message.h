#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tessera {

// A call of a function that the assistant made earlier in the conversation.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text as the client sent it; may be empty
};

// One message of a conversation. Everything in it was written by a client, a tool or the model: untrusted.
struct ChatMessage {
  std::string role;                    // system (or developer), user, assistant, tool
  std::optional<std::string> content;  // parts already joined; nullopt: null or absent
  std::string reasoning_content;       // accepted in history, never rendered
  std::vector<ToolCall> tool_calls;    // assistant only
  std::string tool_call_id;            // tool only: the call that this is the result of
  std::string name;                    // accepted, never rendered
  bool prefix = false;                 // assistant, last message: go on from its content
};

// A function that the model may call.
struct ToolDefinition {
  std::string name;
  std::string description;
  std::string parameters_json = "{}";  // JSON schema as text, keys in the client's order
};

}  // namespace tessera
