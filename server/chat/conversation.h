#pragma once

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "server/chat/chat_message.h"

namespace tessera {

struct ConversationRules {
  bool has_tools = true;                // the format can express tool calls and their results
  bool continue_final_message = false;  // the last message must be the assistant's
};

// Checks what a client sent and returns the messages in the order in which they are rendered: as given, but the results
// of one turn's tool calls in the order of the calls. Legal are null or absent content of an assistant turn that has
// calls or reasoning, reasoning anywhere (it is not rendered), system messages in any place. Errors name
// messages[i].field.
absl::StatusOr<std::vector<const ChatMessage*>> CheckConversation(std::span<const ChatMessage> messages,
                                                                  const ConversationRules& rules);

}  // namespace tessera
