#include "server/chat/render.h"

#include <string>

#include "base/status_macros.h"
#include "server/chat/prompt_builder.h"
#include "server/chat/tool_prompt.h"

namespace tessera {
namespace {

constexpr std::string_view kUserToken = "<｜User｜>";
constexpr std::string_view kAssistantToken = "<｜Assistant｜>";
constexpr std::string_view kThinkBegin = "<think>";
constexpr std::string_view kThinkEnd = "</think>";

bool IsSystem(const ChatMessage& message) { return message.role == "system" || message.role == "developer"; }

std::string_view ContentOf(const ChatMessage& message) {
  return message.content.has_value() ? std::string_view(*message.content) : std::string_view();
}

// One conversation in the formats that mark roles by control tokens. Tracks what the last message was, since an
// assistant turn is introduced differently after a user and after tools.
class RoleTokenRenderer {
 public:
  explicit RoleTokenRenderer(const RenderInput& input)
      : input_(input),
        is_v31_(input.kind == ChatFormatKind::kV31),
        syntax_(is_v31_ ? ToolCallSyntax::kBare : ToolCallSyntax::kFenced) {}

  absl::StatusOr<RenderedText> Render() {
    prompt_.Template(input_.bos);
    AppendSystem();
    TESSERA_RETURN_IF_ERROR(AppendTools(input_.tools, syntax_, prompt_));
    for (size_t i = 0; i < input_.messages.size(); ++i) {
      const ChatMessage& message = *input_.messages[i];
      const bool is_open = input_.continues_last && i + 1 == input_.messages.size();
      if (message.role == "user") AppendUser(message);
      if (message.role == "assistant") AppendAssistant(message, is_open);
      if (message.role == "tool") AppendToolOutput(message);
    }
    CloseToolOutputs();
    if (input_.add_generation_prompt && !input_.continues_last) AppendGenerationPrompt();
    return RenderedText{prompt_.Take(), opens_reasoning_};
  }

 private:
  enum class Last { kNothing, kUser, kAssistant, kTool };

  // All system messages, wherever they stand, come first.
  void AppendSystem() {
    bool is_first = true;
    for (const ChatMessage* message : input_.messages) {
      if (!IsSystem(*message)) continue;
      if (!is_first) prompt_.Template("\n\n");
      prompt_.Content(ContentOf(*message));
      is_first = false;
    }
  }

  void AppendUser(const ChatMessage& message) {
    CloseToolOutputs();
    prompt_.Template(kUserToken);
    prompt_.Content(ContentOf(message));
    last_ = Last::kUser;
  }

  void AppendAssistant(const ChatMessage& message, bool is_open) {
    const bool is_after_tools = last_ == Last::kTool;
    CloseToolOutputs();
    if (is_v31_ && last_ == Last::kUser) {
      prompt_.Template(kAssistantToken);
      opens_reasoning_ = is_open && input_.thinking;
      prompt_.Template(opens_reasoning_ ? kThinkBegin : kThinkEnd);
    } else if (!is_v31_ && !is_after_tools) {
      prompt_.Template(kAssistantToken);
    }
    prompt_.Content(WithoutReasoning(ContentOf(message)));
    AppendToolCalls(message.tool_calls, syntax_, prompt_);
    if (!is_open) prompt_.Template(input_.eos);
    last_ = Last::kAssistant;
  }

  // V3 and R1 keep what follows the last </think>, V3.1 what follows the first.
  std::string_view WithoutReasoning(std::string_view content) const {
    const size_t end = is_v31_ ? content.find(kThinkEnd) : content.rfind(kThinkEnd);
    return end == std::string_view::npos ? content : content.substr(end + kThinkEnd.size());
  }

  void AppendToolOutput(const ChatMessage& message) {
    if (!is_v31_) prompt_.Template(last_ == Last::kTool ? "\n" : "<｜tool▁outputs▁begin｜>");
    prompt_.Template("<｜tool▁output▁begin｜>");
    prompt_.Content(ContentOf(message));
    prompt_.Template("<｜tool▁output▁end｜>");
    last_ = Last::kTool;
    outputs_open_ = !is_v31_;
  }

  void CloseToolOutputs() {
    if (outputs_open_) prompt_.Template("<｜tool▁outputs▁end｜>");
    outputs_open_ = false;
  }

  // After tool outputs nothing is added: the model goes on directly.
  void AppendGenerationPrompt() {
    // The published templates of V3 and R1 have the assistant answer a lone system prompt, V3.1's has not.
    const bool is_asked = last_ == Last::kUser || (last_ == Last::kNothing && !is_v31_);
    if (!is_asked) return;
    prompt_.Template(kAssistantToken);
    if (input_.kind == ChatFormatKind::kR1) {
      prompt_.Template("<think>\n");
      opens_reasoning_ = true;
    } else if (is_v31_) {
      prompt_.Template(input_.thinking ? kThinkBegin : kThinkEnd);
      opens_reasoning_ = input_.thinking;
    }
  }

  const RenderInput& input_;
  bool is_v31_;
  ToolCallSyntax syntax_;
  PromptBuilder prompt_;
  Last last_ = Last::kNothing;
  bool outputs_open_ = false;
  bool opens_reasoning_ = false;
};

}  // namespace

absl::StatusOr<RenderedText> RenderRoleTokens(const RenderInput& input) { return RoleTokenRenderer(input).Render(); }

absl::StatusOr<RenderedText> RenderPlainRoles(const RenderInput& input) {
  if (!input.tools.empty()) return absl::InvalidArgumentError("tools: this model's chat format has no tool calls");
  PromptBuilder prompt;
  prompt.Template(input.bos);
  for (size_t i = 0; i < input.messages.size(); ++i) {
    const ChatMessage& message = *input.messages[i];
    const bool is_assistant = message.role == "assistant";
    const bool is_open = input.continues_last && i + 1 == input.messages.size();
    if (is_assistant) prompt.Template("Assistant: ");
    if (message.role == "user") prompt.Template("User: ");
    prompt.Content(ContentOf(message));
    if (!is_open) prompt.Template(is_assistant ? input.eos : "\n\n");
  }
  if (input.add_generation_prompt && !input.continues_last) prompt.Template("Assistant:");
  return RenderedText{prompt.Take(), false};
}

}  // namespace tessera
