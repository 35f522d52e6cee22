#pragma once

#include <span>

#include "absl/status/status.h"
#include "server/chat/chat_message.h"
#include "server/chat/prompt_builder.h"
#include "server/chat/tool_call_parser.h"

namespace tessera {

// Appends the description of the tools, which follows the system prompt. For kBare it is the block of V3.1's published
// template. V3's and R1's templates have none, so for kFenced the words are ours: each tool's JSON, and one example of
// the call syntax. Names, descriptions and schemas are content: what they spell is never a control token.
absl::Status AppendTools(std::span<const ToolDefinition> tools, ToolCallSyntax syntax, PromptBuilder& prompt);

// Appends the calls of an assistant turn.
void AppendToolCalls(std::span<const ToolCall> calls, ToolCallSyntax syntax, PromptBuilder& prompt);

}  // namespace tessera
