#include "server/session/prompt_encoder.h"

#include <utility>
#include <variant>

#include "base/status_macros.h"

namespace tessera {

absl::StatusOr<EncodedPrompt> PromptEncoder::EncodeChat(const ChatPrompt& chat) const {
  const RenderOptions options{.add_generation_prompt = chat.add_generation_prompt,
                              .continue_final_message = chat.continue_final_message,
                              .thinking = chat.thinking.value_or(default_thinking_)};
  const std::vector<ToolDefinition> no_tools;
  TESSERA_ASSIGN_OR_RETURN(RenderedPrompt rendered,
                           format_.Render(chat.messages, chat.uses_tools ? chat.tools : no_tools, options));
  OutputParserOptions parser = format_.OutputOptions(rendered);
  return EncodedPrompt{.ids = std::move(rendered.ids), .parser = std::move(parser)};
}

absl::StatusOr<EncodedPrompt> PromptEncoder::Encode(const Prompt& prompt) const {
  if (const auto* chat = std::get_if<ChatPrompt>(&prompt)) return EncodeChat(*chat);
  // The output of a raw prompt is text, whatever markers are in it.
  EncodedPrompt encoded{.parser = {.markers = format_.markers()}};
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) {
    TESSERA_ASSIGN_OR_RETURN(encoded.ids, tokenizer_.EncodeRawPrompt(text->text, text->add_special_tokens));
  } else {
    encoded.ids = std::get<TokenPrompt>(prompt).ids;
  }
  return encoded;
}

}  // namespace tessera
