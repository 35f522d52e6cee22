#include "server/chat/tool_prompt.h"

#include <vector>

#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "server/chat/template_json.h"

namespace tessera {
namespace {

absl::StatusOr<std::vector<std::string>> FormatParameters(std::span<const ToolDefinition> tools) {
  std::vector<std::string> parameters;
  for (size_t i = 0; i < tools.size(); ++i) {
    if (tools[i].name.empty()) {
      return absl::InvalidArgumentError(absl::StrFormat("tools[%d].function.name: is empty", i));
    }
    absl::StatusOr<std::string> json = FormatTemplateJson(tools[i].parameters_json);
    if (!json.ok()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("tools[%d].function.parameters: %s", i, json.status().message()));
    }
    parameters.push_back(*std::move(json));
  }
  return parameters;
}

void AppendBareTools(std::span<const ToolDefinition> tools, std::span<const std::string> parameters,
                     PromptBuilder& prompt) {
  prompt.Template("\n\n## Tools\nYou have access to the following tools:\n");
  for (size_t i = 0; i < tools.size(); ++i) {
    prompt.Template("\n### ");
    prompt.Content(tools[i].name);
    prompt.Template("\nDescription: ");
    prompt.Content(tools[i].description);
    prompt.Template("\n\nParameters: ");
    prompt.Content(parameters[i]);
    prompt.Template("\n");
  }
  prompt.Template(
      "\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>"
      "{additional_tool_calls}<｜tool▁calls▁end｜>\n\n"
      "Where:\n\n"
      "- `tool_call_name` must be an exact match to one of the available tools\n"
      "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
      "- For multiple tool calls, chain them directly without separators or spaces");
}

void AppendFencedTools(std::span<const ToolDefinition> tools, std::span<const std::string> parameters,
                       PromptBuilder& prompt) {
  prompt.Template("\n\n## Tools\n\n### Function\n\nYou have the following functions available:\n\n");
  for (size_t i = 0; i < tools.size(); ++i) {
    const nlohmann::json name = tools[i].name;
    const nlohmann::json description = tools[i].description;
    const auto replace = nlohmann::json::error_handler_t::replace;
    prompt.Template("- `");
    prompt.Content(tools[i].name);
    prompt.Template("`:\n```json\n");
    prompt.Content(absl::StrFormat("{\"name\": %s, \"description\": %s, \"parameters\": %s}",
                                   name.dump(-1, ' ', false, replace), description.dump(-1, ' ', false, replace),
                                   parameters[i]));
    prompt.Template("\n```\n\n");
  }
  prompt.Template(
      "To call a function, write exactly this, with its name and its arguments as JSON:\n"
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>function_name\n"
      "```json\n{\"argument\": \"value\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>\n"
      "Several calls follow one another, separated by a newline, before <｜tool▁calls▁end｜>.\n");
}

}  // namespace

absl::Status AppendTools(std::span<const ToolDefinition> tools, ToolCallSyntax syntax, PromptBuilder& prompt) {
  if (tools.empty()) return absl::OkStatus();
  const absl::StatusOr<std::vector<std::string>> parameters = FormatParameters(tools);
  if (!parameters.ok()) return parameters.status();
  if (syntax == ToolCallSyntax::kBare) {
    AppendBareTools(tools, *parameters, prompt);
  } else {
    AppendFencedTools(tools, *parameters, prompt);
  }
  return absl::OkStatus();
}

void AppendToolCalls(std::span<const ToolCall> calls, ToolCallSyntax syntax, PromptBuilder& prompt) {
  if (calls.empty()) return;
  const bool is_bare = syntax == ToolCallSyntax::kBare;
  prompt.Template("<｜tool▁calls▁begin｜>");
  for (size_t i = 0; i < calls.size(); ++i) {
    if (i > 0 && !is_bare) prompt.Template("\n");
    prompt.Template(is_bare ? "<｜tool▁call▁begin｜>" : "<｜tool▁call▁begin｜>function<｜tool▁sep｜>");
    prompt.Content(calls[i].name);
    prompt.Template(is_bare ? "<｜tool▁sep｜>" : "\n```json\n");
    prompt.Content(calls[i].arguments);
    prompt.Template(is_bare ? "<｜tool▁call▁end｜>" : "\n```<｜tool▁call▁end｜>");
  }
  prompt.Template("<｜tool▁calls▁end｜>");
}

}  // namespace tessera
