#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "server/chat/chat_message.h"
#include "server/chat/output_parser.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {

enum class ChatFormatKind {
  kV2,      // V2, V2-Lite: "User: …", "Assistant: …" in plain text
  kV3,      // V3, V3-0324
  kR1Open,  // R1 of January 2025 and R1-0528: the model writes <think> itself
  kR1,      // R1 since February 2025: the prompt ends in <think>\n
  kV31,     // V3.1: thinking or not by request
};

// v2, v3, r1-2025-01, r1, v3.1: the names by which a format can be forced.
std::string_view ChatFormatName(ChatFormatKind kind);

struct RenderOptions {
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // as `prefix` of the last message
  bool thinking = false;                // V3.1 only; other formats do not ask
};

struct RenderedPrompt {
  std::vector<TextSegment> segments;  // kParse: written by the format; kAsText: by the client
  std::vector<TokenId> ids;
  bool opens_reasoning = false;    // the model's first token continues a <think> of the prompt
  bool continues_message = false;  // the model's first token continues the last message's content

  std::string Text() const;
};

// The prompt format of a checkpoint. Chosen once at load, immutable; the tokenizer must outlive it.
// Conversations are checked here too: an error names messages[i].field.
class ChatFormat {
 public:
  // By the markers in the checkpoint's chat_template; `override_name` (see ChatFormatName) forces one, empty: none.
  static absl::StatusOr<ChatFormat> Detect(std::string_view chat_template, const Tokenizer& tokenizer,
                                           std::string_view model_type, std::string_view override_name = {});

  // Exactly one BOS, first; text of messages and tools never becomes a control token.
  absl::StatusOr<RenderedPrompt> Render(std::span<const ChatMessage> messages, std::span<const ToolDefinition> tools,
                                        const RenderOptions& options) const;

  // How the answer to a rendered prompt is to be taken apart; the caller adds stops and call ids.
  OutputParserOptions OutputOptions(const RenderedPrompt& prompt) const;

  ChatFormatKind kind() const { return kind_; }
  const OutputMarkers& markers() const { return markers_; }  // as ids of this tokenizer

 private:
  ChatFormat(ChatFormatKind kind, const Tokenizer& tokenizer);

  ChatFormatKind kind_;
  const Tokenizer* tokenizer_;
  OutputMarkers markers_;
};

}  // namespace tessera
