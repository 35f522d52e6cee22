#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/chat/chat_format.h"

namespace tessera {

// What rendering gives before tokenization.
struct RenderedText {
  std::vector<TextSegment> segments;
  bool opens_reasoning = false;
};

// What a format needs to know to write one conversation.
struct RenderInput {
  ChatFormatKind kind = ChatFormatKind::kV3;
  std::string_view bos;
  std::string_view eos;
  std::span<const ChatMessage* const> messages;  // checked and ordered, see conversation.h
  std::span<const ToolDefinition> tools;
  bool add_generation_prompt = true;
  bool continues_last = false;  // the last message is left open
  bool thinking = false;
};

// The V2 format: roles in plain text.
absl::StatusOr<RenderedText> RenderPlainRoles(const RenderInput& input);

// V3, R1 and V3.1: roles as control tokens.
absl::StatusOr<RenderedText> RenderRoleTokens(const RenderInput& input);

}  // namespace tessera
