#include "server/chat/chat_format.h"

#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "server/chat/conversation.h"
#include "server/chat/render.h"

namespace tessera {
namespace {

struct NamedKind {
  std::string_view name;
  ChatFormatKind kind;
};
constexpr std::array<NamedKind, 5> kNamedKinds = {{{"v2", ChatFormatKind::kV2},
                                                   {"v3", ChatFormatKind::kV3},
                                                   {"r1-2025-01", ChatFormatKind::kR1Open},
                                                   {"r1", ChatFormatKind::kR1},
                                                   {"v3.1", ChatFormatKind::kV31}}};
constexpr std::string_view kForceHint = "a format can be forced by name: v2, v3, r1-2025-01, r1, v3.1";

bool Has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

absl::StatusOr<ChatFormatKind> KindByName(std::string_view name) {
  for (const NamedKind& named : kNamedKinds) {
    if (named.name == name) return named.kind;
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("chat format: got \"%s\", wanted v2, v3, r1-2025-01, r1 or v3.1", name));
}

absl::StatusOr<ChatFormatKind> KindByTemplate(std::string_view text, std::string_view model_type) {
  if (text.empty()) {
    return absl::NotFoundError(
        absl::StrFormat("the checkpoint (model_type %s) has no chat_template, so it is not known "
                        "how to talk to it; %s",
                        model_type, kForceHint));
  }
  if (Has(text, "<｜User｜>") && Has(text, "<｜Assistant｜>") && !Has(text, "DSML")) {
    if (Has(text, "thinking") && Has(text, "<think>") && Has(text, "</think>")) return ChatFormatKind::kV31;
    // In Jinja source the newline is written as an escape or as itself.
    if (Has(text, "<｜Assistant｜><think>\\n") || Has(text, "<｜Assistant｜><think>\n")) return ChatFormatKind::kR1;
    return Has(text, "</think>") ? ChatFormatKind::kR1Open : ChatFormatKind::kV3;
  }
  if (Has(text, "User: ") && Has(text, "Assistant:") && !Has(text, "<|im_start|>")) return ChatFormatKind::kV2;
  return absl::InvalidArgumentError(absl::StrFormat(
      "the checkpoint's chat_template (model_type %s) is of no known kind: looked for <｜User｜> and <｜Assistant｜> "
      "(V3, R1, "
      "V3.1; told apart by `thinking`, <think>\\n and </think>) and for \"User: \" and \"Assistant:\" (V2); %s",
      model_type, kForceHint));
}

// The control tokens without which the format can't be written.
std::vector<std::string_view> RequiredTokens(ChatFormatKind kind) {
  std::vector<std::string_view> tokens;
  if (kind != ChatFormatKind::kV2) tokens = {"<｜User｜>", "<｜Assistant｜>"};
  if (kind == ChatFormatKind::kR1 || kind == ChatFormatKind::kV31) {
    tokens.push_back("<think>");
    tokens.push_back("</think>");
  }
  return tokens;
}

}  // namespace

std::string_view ChatFormatName(ChatFormatKind kind) {
  for (const NamedKind& named : kNamedKinds) {
    if (named.kind == kind) return named.name;
  }
  return "unknown";
}

std::string RenderedPrompt::Text() const {
  std::string text;
  for (const TextSegment& segment : segments) text += segment.text;
  return text;
}

ChatFormat::ChatFormat(ChatFormatKind kind, const Tokenizer& tokenizer)
    : kind_(kind), tokenizer_(&tokenizer), markers_(OutputMarkers::Of(tokenizer)) {}

absl::StatusOr<ChatFormat> ChatFormat::Detect(std::string_view chat_template, const Tokenizer& tokenizer,
                                              std::string_view model_type, std::string_view override_name) {
  const absl::StatusOr<ChatFormatKind> kind =
      override_name.empty() ? KindByTemplate(chat_template, model_type) : KindByName(override_name);
  if (!kind.ok()) return kind.status();
  for (const std::string_view token : RequiredTokens(*kind)) {
    if (!tokenizer.FindAdded(token).has_value()) {
      return absl::InvalidArgumentError(absl::StrFormat("chat format %s needs the token %s, which tokenizer.json lacks",
                                                        ChatFormatName(*kind), token));
    }
  }
  if (!tokenizer.bos_id().has_value() || !tokenizer.eos_id().has_value()) {
    return absl::InvalidArgumentError(absl::StrFormat("chat format %s needs a BOS and an EOS token, %s is missing",
                                                      ChatFormatName(*kind),
                                                      tokenizer.bos_id().has_value() ? "EOS" : "BOS"));
  }
  return ChatFormat(*kind, tokenizer);
}

absl::StatusOr<RenderedPrompt> ChatFormat::Render(std::span<const ChatMessage> messages,
                                                  std::span<const ToolDefinition> tools,
                                                  const RenderOptions& options) const {
  ConversationRules rules;
  rules.has_tools = kind_ != ChatFormatKind::kV2;
  rules.continue_final_message = options.continue_final_message || (!messages.empty() && messages.back().prefix);
  TESSERA_ASSIGN_OR_RETURN(const std::vector<const ChatMessage*> ordered, CheckConversation(messages, rules));
  RenderInput input;
  input.kind = kind_;
  input.bos = tokenizer_->TokenBytes(*tokenizer_->bos_id());
  input.eos = tokenizer_->TokenBytes(*tokenizer_->eos_id());
  input.messages = ordered;
  input.tools = tools;
  input.add_generation_prompt = options.add_generation_prompt;
  input.continues_last = rules.continue_final_message;
  input.thinking = options.thinking;
  TESSERA_ASSIGN_OR_RETURN(RenderedText text,
                           kind_ == ChatFormatKind::kV2 ? RenderPlainRoles(input) : RenderRoleTokens(input));
  RenderedPrompt prompt;
  TESSERA_ASSIGN_OR_RETURN(prompt.ids, tokenizer_->EncodeSegments(text.segments));
  prompt.segments = std::move(text.segments);
  prompt.opens_reasoning = text.opens_reasoning;
  prompt.continues_message = rules.continue_final_message;
  return prompt;
}

OutputParserOptions ChatFormat::OutputOptions(const RenderedPrompt& prompt) const {
  OutputParserOptions options;
  options.markers = markers_;
  const bool is_v2 = kind_ == ChatFormatKind::kV2;
  if (prompt.opens_reasoning) {
    options.reasoning = ReasoningMode::kOpen;
  } else if (!is_v2 && !prompt.continues_message) {
    options.reasoning = ReasoningMode::kClosed;
  }
  if (!is_v2) {
    options.tool_calls = kind_ == ChatFormatKind::kV31 ? ToolCallSyntax::kBare : ToolCallSyntax::kFenced;
  }
  options.strip_leading_space = is_v2 && !prompt.continues_message;
  return options;
}

}  // namespace tessera
