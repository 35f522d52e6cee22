#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/chat/marker_scanner.h"

namespace tessera {

enum class ToolCallSyntax {
  kFenced,  // V3, R1: function<sep>name\n```json\n{arguments}\n```
  kBare,    // V3.1: name<sep>{arguments}
};

struct ToolCallEvent {
  enum class Kind { kText, kCallStart, kArguments };
  Kind kind = Kind::kText;
  int index = 0;     // of the call
  std::string text;  // kText: outside of calls; kCallStart: the name; kArguments: to append
};

// Finds tool calls in an answer. Arguments are passed on as the model wrote them between the markers, valid JSON or
// not. Tolerated: a missing outer begin or end marker, a missing fence or newline, an answer that ends inside a call
// (the call is kept if its name was complete). Outside of calls, white space next to a call is dropped.
class ToolCallParser {
 public:
  explicit ToolCallParser(ToolCallSyntax syntax) : syntax_(syntax) {}

  void Push(const OutputUnit& unit, std::vector<ToolCallEvent>& events);
  void Finish(std::vector<ToolCallEvent>& events);

  int num_calls() const { return num_calls_; }
  // The answer ended inside a call whose arguments are not complete JSON.
  bool has_open_call() const { return has_open_call_; }
  // Inside the markers: text is not content.
  bool in_calls() const { return state_ != State::kText; }

 private:
  enum class State {
    kText,
    kBetween,  // inside the outer markers, outside of a call
    kHeader,   // after call_begin: type (kFenced) or name (kBare), up to the separator
    kName,     // kFenced, after the separator: name and opening fence
    kArguments,
  };
  void PushText(std::string_view text, std::vector<ToolCallEvent>& events);
  void PushMarker(Marker marker, std::string_view text, std::vector<ToolCallEvent>& events);
  // Reads name and opening fence from held_ once they are complete, or as far as they go if nothing more comes.
  void TryReadName(bool is_last, std::vector<ToolCallEvent>& events);
  void EndHeader(std::vector<ToolCallEvent>& events);
  void StartCall(std::string_view name, std::vector<ToolCallEvent>& events);
  void PushArguments(std::string_view text, std::vector<ToolCallEvent>& events);
  void EmitArguments(std::string_view text, std::vector<ToolCallEvent>& events);
  void EndCall(std::vector<ToolCallEvent>& events);

  ToolCallSyntax syntax_;
  State state_ = State::kText;
  int num_calls_ = 0;
  bool fenced_ = false;  // the open call's arguments began with a fence, so its end is dropped
  bool has_open_call_ = false;
  bool after_calls_ = false;  // in kText: nothing but white space since the last call
  std::string held_;          // header, or what may be the end of the fence
  std::string arguments_;     // of the open call, to see at the end whether they are complete
};

}  // namespace tessera
