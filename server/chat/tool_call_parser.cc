#include "server/chat/tool_call_parser.h"

#include <algorithm>
#include <utility>

#include "nlohmann/json.hpp"

namespace tessera {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";
constexpr std::string_view kFence = "```";

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhiteSpace) + 1 - first);
}

// Where the end of `text` may be the closing fence of arguments, "\n```" and white space, or a beginning of that.
size_t PossibleFenceStart(std::string_view text) {
  size_t start = text.find_last_not_of(kWhiteSpace) + 1;  // npos + 1: 0
  if (text.substr(0, start).ends_with(kFence)) {
    start -= kFence.size();
  } else {
    start = text.size();
    while (start > 0 && text[start - 1] == '`') --start;
  }
  if (start > 0 && text[start - 1] == '\n') --start;
  return start;
}

}  // namespace

void ToolCallParser::Push(const OutputUnit& unit, std::vector<ToolCallEvent>& events) {
  if (unit.marker.has_value()) {
    PushMarker(*unit.marker, unit.text, events);
  } else {
    PushText(unit.text, events);
  }
}

void ToolCallParser::PushText(std::string_view text, std::vector<ToolCallEvent>& events) {
  switch (state_) {
    case State::kText:
    case State::kBetween: {
      if (state_ == State::kBetween || after_calls_) {
        const size_t first = text.find_first_not_of(kWhiteSpace);
        if (first == std::string_view::npos) return;
        text.remove_prefix(first);
        state_ = State::kText;
        after_calls_ = false;
      }
      events.push_back({ToolCallEvent::Kind::kText, 0, std::string(text)});
      return;
    }
    case State::kHeader:
      held_ += text;
      return;
    case State::kName:
      held_ += text;
      return TryReadName(/*is_last=*/false, events);
    case State::kArguments:
      return PushArguments(text, events);
  }
}

void ToolCallParser::PushMarker(Marker marker, std::string_view text, std::vector<ToolCallEvent>& events) {
  if (marker == Marker::kSeparator && state_ == State::kHeader) {
    if (syntax_ == ToolCallSyntax::kBare) {
      StartCall(std::exchange(held_, {}), events);
      fenced_ = false;
    } else {
      state_ = State::kName;
      held_.clear();  // the call's type: always "function"
    }
    return;
  }
  const bool is_structure = marker == Marker::kCallsEnd || marker == Marker::kCallBegin || marker == Marker::kCallEnd ||
                            (marker == Marker::kCallsBegin && state_ == State::kText);
  if (!is_structure) {
    // Part of what the model writes in a call; elsewhere without meaning.
    if (state_ == State::kArguments) PushArguments(text, events);
    return;
  }
  if (state_ == State::kHeader || state_ == State::kName) EndHeader(events);
  if (state_ == State::kArguments) EndCall(events);
  held_.clear();
  if (marker == Marker::kCallBegin) {
    state_ = State::kHeader;
  } else if (marker == Marker::kCallsEnd) {
    after_calls_ = after_calls_ || state_ != State::kText;
    state_ = State::kText;
  } else {
    state_ = marker == Marker::kCallEnd && state_ == State::kText ? State::kText : State::kBetween;
  }
}

void ToolCallParser::EndHeader(std::vector<ToolCallEvent>& events) {
  if (state_ == State::kName) return TryReadName(/*is_last=*/true, events);
  if (syntax_ == ToolCallSyntax::kBare && !Trim(held_).empty()) StartCall(std::exchange(held_, {}), events);
}

void ToolCallParser::TryReadName(bool is_last, std::vector<ToolCallEvent>& events) {
  const std::string_view text = held_;
  const size_t name_end = std::min(text.find_first_of("\n`{"), text.size());
  size_t at = std::min(text.find_first_not_of(kWhiteSpace, name_end), text.size());
  const std::string_view after_name = text.substr(at);
  if (!is_last && after_name.size() < kFence.size() && kFence.starts_with(after_name)) return;
  const bool has_fence = after_name.starts_with(kFence);
  if (has_fence) {
    at += kFence.size();
    while (at < text.size() && text[at] >= 'a' && text[at] <= 'z') ++at;  // "json"
    if (at == text.size() && !is_last) return;
    if (text.substr(at).starts_with('\n')) ++at;
  }
  const std::string name(text.substr(0, name_end));
  const std::string arguments(text.substr(at));
  held_.clear();
  StartCall(name, events);
  fenced_ = has_fence;
  PushArguments(arguments, events);
}

void ToolCallParser::StartCall(std::string_view name, std::vector<ToolCallEvent>& events) {
  events.push_back({ToolCallEvent::Kind::kCallStart, num_calls_, std::string(Trim(name))});
  ++num_calls_;
  arguments_.clear();
  state_ = State::kArguments;
}

void ToolCallParser::PushArguments(std::string_view text, std::vector<ToolCallEvent>& events) {
  if (!fenced_) return EmitArguments(text, events);
  held_ += text;
  const size_t safe = PossibleFenceStart(held_);
  EmitArguments(std::string_view(held_).substr(0, safe), events);
  held_.erase(0, safe);
}

void ToolCallParser::EmitArguments(std::string_view text, std::vector<ToolCallEvent>& events) {
  if (text.empty()) return;
  arguments_ += text;
  events.push_back({ToolCallEvent::Kind::kArguments, num_calls_ - 1, std::string(text)});
}

void ToolCallParser::EndCall(std::vector<ToolCallEvent>& events) {
  // What was held back is the closing fence, or it has turned out to be none.
  if (held_.find(kFence) == std::string::npos) EmitArguments(held_, events);
  held_.clear();
  fenced_ = false;
  state_ = State::kBetween;
}

void ToolCallParser::Finish(std::vector<ToolCallEvent>& events) {
  if (state_ == State::kName && held_.find_first_of("\n`{") != std::string::npos) TryReadName(/*is_last=*/true, events);
  has_open_call_ = state_ == State::kHeader || state_ == State::kName;  // without a name there is nothing to pass on
  if (state_ != State::kArguments) return;
  EndCall(events);
  has_open_call_ = !nlohmann::json::accept(arguments_);
}

}  // namespace tessera
