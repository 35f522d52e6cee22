#include "server/chat/conversation.h"

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

template <typename... Args>
absl::Status Invalid(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrFormat(format, args...));
}

class Checker {
 public:
  Checker(std::span<const ChatMessage> messages, const ConversationRules& rules) : messages_(messages), rules_(rules) {}

  absl::StatusOr<std::vector<const ChatMessage*>> Run() {
    if (messages_.empty()) return Invalid("messages: is empty");
    for (size_t i = 0; i < messages_.size(); ++i) {
      TESSERA_RETURN_IF_ERROR(CheckRole(i));
      TESSERA_RETURN_IF_ERROR(CheckFields(i));
      if (messages_[i].role == "tool") {
        TESSERA_RETURN_IF_ERROR(PlaceResult(i));
        continue;
      }
      TESSERA_RETURN_IF_ERROR(CheckAllResultsPresent());
      ordered_.push_back(&messages_[i]);
      if (!messages_[i].tool_calls.empty()) TESSERA_RETURN_IF_ERROR(OpenCalls(i));
    }
    // An answer to the last message is only possible with all results; a history that ends in calls needs none.
    if (messages_.back().role == "tool") TESSERA_RETURN_IF_ERROR(CheckAllResultsPresent());
    const size_t last = messages_.size() - 1;
    if (rules_.continue_final_message && messages_[last].role != "assistant") {
      return Invalid("messages[%d].role: got \"%s\", to be continued it must be \"assistant\"", last,
                     messages_[last].role);
    }
    if (rules_.continue_final_message && !messages_[last].tool_calls.empty()) {
      return Invalid("messages[%d].tool_calls: a message with tool calls can't be continued", last);
    }
    return std::move(ordered_);
  }

 private:
  absl::Status CheckRole(size_t i) const {
    const std::string& role = messages_[i].role;
    if (role == "system" || role == "developer" || role == "user" || role == "assistant") return absl::OkStatus();
    if (role != "tool") {
      return Invalid("messages[%d].role: got \"%s\", wanted system, developer, user, assistant or tool", i, role);
    }
    if (!rules_.has_tools) return Invalid("messages[%d].role: this model's chat format has no \"tool\"", i);
    return absl::OkStatus();
  }

  absl::Status CheckFields(size_t i) const {
    const ChatMessage& message = messages_[i];
    const bool is_assistant = message.role == "assistant";
    const bool may_lack_content = is_assistant && (!message.tool_calls.empty() || !message.reasoning_content.empty());
    if (!message.content.has_value() && !may_lack_content) {
      return Invalid("messages[%d].content: is missing or null", i);
    }
    if (!message.tool_calls.empty() && !is_assistant) {
      return Invalid("messages[%d].tool_calls: only an assistant message may have them", i);
    }
    if (!message.tool_calls.empty() && !rules_.has_tools) {
      return Invalid("messages[%d].tool_calls: this model's chat format has no tool calls", i);
    }
    if (message.prefix && (!is_assistant || i + 1 != messages_.size())) {
      return Invalid("messages[%d].prefix: only the last message may have it, if it is the assistant's", i);
    }
    return absl::OkStatus();
  }

  // Makes room for the results of an assistant turn, to be filled by id.
  absl::Status OpenCalls(size_t i) {
    const std::vector<ToolCall>& calls = messages_[i].tool_calls;
    for (size_t j = 0; j < calls.size(); ++j) {
      if (calls[j].name.empty()) return Invalid("messages[%d].tool_calls[%d].function.name: is empty", i, j);
      if (calls[j].id.empty()) return Invalid("messages[%d].tool_calls[%d].id: is empty", i, j);
      for (size_t k = 0; k < j; ++k) {
        if (calls[k].id == calls[j].id) {
          return Invalid("messages[%d].tool_calls[%d].id: \"%s\" is the id of call %d too", i, j, calls[j].id, k);
        }
      }
    }
    caller_ = i;
    results_.assign(calls.size(), nullptr);
    return absl::OkStatus();
  }

  absl::Status PlaceResult(size_t i) {
    const std::string& id = messages_[i].tool_call_id;
    if (results_.empty()) {
      return Invalid("messages[%d].role: a \"tool\" message must follow the assistant message with its call", i);
    }
    if (id.empty()) return Invalid("messages[%d].tool_call_id: is empty", i);
    const std::vector<ToolCall>& calls = messages_[caller_].tool_calls;
    for (size_t j = 0; j < calls.size(); ++j) {
      if (calls[j].id != id) continue;
      if (results_[j] != nullptr) return Invalid("messages[%d].tool_call_id: call \"%s\" has a result already", i, id);
      results_[j] = &messages_[i];
      return absl::OkStatus();
    }
    return Invalid("messages[%d].tool_call_id: messages[%d] has no call \"%s\"", i, caller_, id);
  }

  absl::Status CheckAllResultsPresent() {
    for (size_t j = 0; j < results_.size(); ++j) {
      if (results_[j] == nullptr) {
        return Invalid("messages[%d].tool_calls[%d].id: no tool message follows with the result of \"%s\"", caller_, j,
                       messages_[caller_].tool_calls[j].id);
      }
    }
    ordered_.insert(ordered_.end(), results_.begin(), results_.end());
    results_.clear();
    return absl::OkStatus();
  }

  std::span<const ChatMessage> messages_;
  const ConversationRules& rules_;
  std::vector<const ChatMessage*> ordered_;
  size_t caller_ = 0;                        // the assistant message whose results are being collected
  std::vector<const ChatMessage*> results_;  // by its calls; empty: none are awaited
};

}  // namespace

absl::StatusOr<std::vector<const ChatMessage*>> CheckConversation(std::span<const ChatMessage> messages,
                                                                  const ConversationRules& rules) {
  return Checker(messages, rules).Run();
}

}  // namespace tessera
