#include "server/chat/output_parser.h"

#include <array>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tessera {
namespace {

constexpr std::array<Marker, 2> kThinkMarkers = {Marker::kThinkBegin, Marker::kThinkEnd};
constexpr std::array<Marker, 5> kToolMarkers = {Marker::kCallsBegin, Marker::kCallsEnd, Marker::kCallBegin,
                                                Marker::kCallEnd, Marker::kSeparator};

std::vector<Marker> WantedMarkers(const OutputParserOptions& options) {
  std::vector<Marker> wanted;
  if (options.reasoning != ReasoningMode::kOff) {
    wanted.insert(wanted.end(), kThinkMarkers.begin(), kThinkMarkers.end());
  }
  if (options.tool_calls.has_value()) wanted.insert(wanted.end(), kToolMarkers.begin(), kToolMarkers.end());
  return wanted;
}

void AddEvent(OutputEvent::Kind kind, std::string text, std::vector<OutputEvent>& events) {
  if (text.empty()) return;
  OutputEvent event;
  event.kind = kind;
  event.text = std::move(text);
  events.push_back(std::move(event));
}

}  // namespace

OutputParser::OutputParser(OutputParserOptions options)
    : options_(std::move(options)),
      scanner_(options_.markers, WantedMarkers(options_)),
      reasoning_(options_.reasoning, options_.structured_output),
      tool_calls_(options_.tool_calls.value_or(ToolCallSyntax::kFenced)),
      stop_matcher_(options_.stops) {}

bool OutputParser::Push(TokenId id, std::string_view text, std::vector<OutputEvent>& events) {
  if (stop_match().has_value()) return true;
  const bool was_in_reasoning = in_reasoning();
  scanner_.Push(id, text, units_);
  HandleUnits(events);
  if (was_in_reasoning || in_reasoning()) ++num_reasoning_tokens_;
  return stop_match().has_value();
}

bool OutputParser::PushText(std::string_view text, std::vector<OutputEvent>& events) {
  scanner_.PushText(text, units_);
  HandleUnits(events);
  return stop_match().has_value();
}

void OutputParser::Finish(std::vector<OutputEvent>& events) {
  scanner_.Flush(units_);
  HandleUnits(events);
  std::string reasoning;
  std::vector<OutputUnit> answer;
  reasoning_.Finish(reasoning, answer);
  AddEvent(OutputEvent::Kind::kReasoning, std::move(reasoning), events);
  for (const OutputUnit& unit : answer) HandleAnswer(unit, events);
  if (options_.tool_calls.has_value() && !stop_match().has_value()) {
    tool_calls_.Finish(tool_events_);
    HandleToolEvents(events);
  }
  FlushContent(events);
}

void OutputParser::HandleUnits(std::vector<OutputEvent>& events) {
  for (const OutputUnit& unit : units_) {
    if (stop_match().has_value()) break;
    std::string reasoning;
    std::vector<OutputUnit> answer;
    reasoning_.Push(unit, reasoning, answer);
    AddEvent(OutputEvent::Kind::kReasoning, std::move(reasoning), events);
    for (const OutputUnit& answer_unit : answer) HandleAnswer(answer_unit, events);
  }
  units_.clear();
}

void OutputParser::HandleAnswer(const OutputUnit& unit, std::vector<OutputEvent>& events) {
  if (!options_.tool_calls.has_value()) return EmitContent(unit.text, events);
  tool_calls_.Push(unit, tool_events_);
  HandleToolEvents(events);
}

void OutputParser::HandleToolEvents(std::vector<OutputEvent>& events) {
  for (ToolCallEvent& tool_event : tool_events_) {
    if (tool_event.kind == ToolCallEvent::Kind::kText) {
      EmitContent(tool_event.text, events);
      continue;
    }
    FlushContent(events);  // a stop string does not reach over a call
    if (stop_match().has_value()) break;
    OutputEvent event;
    event.tool_index = tool_event.index;
    if (tool_event.kind == ToolCallEvent::Kind::kCallStart) {
      event.kind = OutputEvent::Kind::kToolCallStart;
      event.call_id =
          options_.make_call_id ? options_.make_call_id(event.tool_index) : absl::StrCat("call_", event.tool_index);
      event.name = std::move(tool_event.text);
    } else {
      event.kind = OutputEvent::Kind::kToolArguments;
      event.text = std::move(tool_event.text);
    }
    events.push_back(std::move(event));
  }
  tool_events_.clear();
}

void OutputParser::EmitContent(std::string_view text, std::vector<OutputEvent>& events) {
  if (text.empty() || stop_match().has_value()) return;
  if (at_start_of_content_ && options_.strip_leading_space && text.starts_with(' ')) text.remove_prefix(1);
  at_start_of_content_ = false;
  std::string released;
  const bool is_stopped = stop_matcher_.Push(text, released);
  AppendContent(std::move(released), is_stopped, events);
}

void OutputParser::FlushContent(std::vector<OutputEvent>& events) {
  if (stop_match().has_value()) return;
  std::string released;
  const bool is_stopped = stop_matcher_.Flush(released);
  AppendContent(std::move(released), is_stopped, events);
}

void OutputParser::AppendContent(std::string text, bool is_stopped, std::vector<OutputEvent>& events) {
  if (is_stopped && options_.include_stop) {
    text += options_.stops->stops()[static_cast<size_t>(stop_match()->stop_index)];
  }
  AddEvent(OutputEvent::Kind::kContent, std::move(text), events);
}

}  // namespace tessera
