#include "server/chat/reasoning_parser.h"

#include <utility>

namespace tessera {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";

bool IsWhiteSpace(std::string_view text) { return text.find_first_not_of(kWhiteSpace) == std::string_view::npos; }

void AddAnswer(std::string text, std::vector<OutputUnit>& answer) {
  if (!text.empty()) answer.push_back({std::nullopt, std::move(text)});
}

bool IsThinkMarker(const OutputUnit& unit) {
  return unit.marker == Marker::kThinkBegin || unit.marker == Marker::kThinkEnd;
}

}  // namespace

ReasoningParser::ReasoningParser(ReasoningMode mode, bool structured_output)
    : state_(mode == ReasoningMode::kOff      ? State::kAnswer
             : mode == ReasoningMode::kClosed ? State::kStart
                                              : State::kReasoningStart),
      structured_output_(structured_output && mode == ReasoningMode::kOpen),
      may_drop_think_begin_(mode == ReasoningMode::kOpen) {}

void ReasoningParser::Push(const OutputUnit& unit, std::string& reasoning, std::vector<OutputUnit>& answer) {
  switch (state_) {
    case State::kStart:
      return PushStart(unit, answer);
    case State::kReasoningStart:
      return PushReasoningStart(unit, reasoning, answer);
    case State::kReasoning:
      return PushReasoning(unit, reasoning);
    case State::kAnswerStart: {
      if (unit.marker.has_value()) break;
      const size_t text_start = unit.text.find_first_not_of('\n');
      if (text_start == std::string::npos) return;
      state_ = State::kAnswer;
      return AddAnswer(unit.text.substr(text_start), answer);
    }
    case State::kAnswer:
      break;
  }
  state_ = State::kAnswer;
  if (IsThinkMarker(unit)) return AddAnswer(unit.text, answer);
  answer.push_back(unit);
}

void ReasoningParser::PushStart(const OutputUnit& unit, std::vector<OutputUnit>& answer) {
  if (unit.marker == Marker::kThinkBegin || unit.marker == Marker::kThinkEnd) {
    held_.clear();
    state_ = unit.marker == Marker::kThinkBegin ? State::kReasoningStart : State::kAnswerStart;
    return;
  }
  if (!unit.marker.has_value()) {
    held_ += unit.text;
    if (IsWhiteSpace(held_)) return;
  }
  state_ = State::kAnswer;
  AddAnswer(std::exchange(held_, {}), answer);
  if (unit.marker.has_value()) answer.push_back(unit);
}

void ReasoningParser::PushReasoningStart(const OutputUnit& unit, std::string& reasoning,
                                         std::vector<OutputUnit>& answer) {
  if (unit.marker == Marker::kThinkBegin && may_drop_think_begin_) {
    may_drop_think_begin_ = false;
    held_.clear();
    return;
  }
  const bool is_text = !unit.marker.has_value();
  if (is_text && IsWhiteSpace(unit.text)) {
    held_ += unit.text;
    return;
  }
  if (is_text && structured_output_) {
    const char first = unit.text[unit.text.find_first_not_of(kWhiteSpace)];
    if (first == '{' || first == '[') {
      state_ = State::kAnswer;
      skipped_ = true;
      return AddAnswer(std::exchange(held_, {}) + unit.text, answer);
    }
  }
  state_ = State::kReasoning;
  std::string start = std::exchange(held_, {});
  if (is_text) start += unit.text;
  if (start.starts_with('\n')) start.erase(0, 1);
  PushReasoning({std::nullopt, std::move(start)}, reasoning);
  if (!is_text) PushReasoning(unit, reasoning);
}

void ReasoningParser::PushReasoning(const OutputUnit& unit, std::string& reasoning) {
  if (unit.marker == Marker::kThinkEnd) {
    held_.clear();
    state_ = State::kAnswerStart;
    return;
  }
  held_ += unit.text;
  const size_t last = held_.find_last_not_of('\n');
  if (last == std::string::npos) return;
  reasoning.append(held_, 0, last + 1);
  held_.erase(0, last + 1);
}

void ReasoningParser::Finish(std::string& reasoning, std::vector<OutputUnit>& answer) {
  std::string rest = std::exchange(held_, {});
  if (state_ == State::kStart) return AddAnswer(std::move(rest), answer);
  if (state_ == State::kReasoningStart && rest.starts_with('\n')) rest.erase(0, 1);
  if (in_reasoning()) reasoning += rest;
}

}  // namespace tessera
