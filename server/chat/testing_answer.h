#pragma once

// For tests: model output through an OutputParser, and what comes out, put together as a client does it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/chat/output_parser.h"

namespace tessera {

inline constexpr auto kOff = ReasoningMode::kOff;
inline constexpr auto kClosed = ReasoningMode::kClosed;
inline constexpr auto kOpen = ReasoningMode::kOpen;
inline constexpr auto kFenced = ToolCallSyntax::kFenced;
inline constexpr auto kBare = ToolCallSyntax::kBare;

struct Call {
  std::string id;
  std::string name;
  std::string arguments;
  bool operator==(const Call&) const = default;
};

// The fields of a whole answer.
struct Answer {
  std::string reasoning;
  std::string content;
  std::vector<Call> calls;
  int stop = -1;
  bool ends_in_calls = false;
  bool operator==(const Answer&) const = default;
};
inline void PrintTo(const Answer& answer, std::ostream* out) {
  *out << "reasoning \"" << answer.reasoning << "\" content \"" << answer.content << "\" stop " << answer.stop
       << " ends in calls " << answer.ends_in_calls;
  for (const Call& call : answer.calls) *out << " call " << call.id << " " << call.name << "(" << call.arguments << ")";
}

// Joins events as a client does, and checks their order: a call's start comes once, before its arguments.
inline Answer Join(const std::vector<OutputEvent>& events) {
  Answer answer;
  for (const OutputEvent& event : events) {
    switch (event.kind) {
      case OutputEvent::Kind::kReasoning:
        EXPECT_TRUE(answer.content.empty() && answer.calls.empty()) << "reasoning after the answer has begun";
        answer.reasoning += event.text;
        break;
      case OutputEvent::Kind::kContent:
        answer.content += event.text;
        break;
      case OutputEvent::Kind::kToolCallStart:
        EXPECT_EQ(event.tool_index, static_cast<int>(answer.calls.size()));
        answer.calls.push_back({event.call_id, event.name, ""});
        break;
      case OutputEvent::Kind::kToolArguments:
        EXPECT_EQ(event.tool_index, static_cast<int>(answer.calls.size()) - 1);
        if (!answer.calls.empty()) answer.calls.back().arguments += event.text;
        break;
    }
    const bool is_start = event.kind == OutputEvent::Kind::kToolCallStart;
    EXPECT_NE(is_start, !event.text.empty()) << "an event without news";
  }
  return answer;
}

inline Answer Result(const OutputParser& parser, const std::vector<OutputEvent>& events) {
  Answer answer = Join(events);
  if (parser.stop_match().has_value()) answer.stop = parser.stop_match()->stop_index;
  answer.ends_in_calls = parser.finished_in_tool_calls();
  return answer;
}

// Text mode: no marker has an id, the pieces are cut anywhere.
inline Answer ParsePieces(const OutputParserOptions& options, const std::vector<std::string>& pieces) {
  OutputParser parser(options);
  std::vector<OutputEvent> events;
  for (const std::string& piece : pieces) {
    if (parser.PushText(piece, events)) break;
  }
  parser.Finish(events);
  return Result(parser, events);
}

inline constexpr TokenId kMarkerIds = 1000;  // of Marker 0
inline constexpr TokenId kWordId = 7;

inline OutputMarkers MarkersAsTokens() {
  OutputMarkers markers;
  for (int i = 0; i < kNumMarkers; ++i) markers.ids[static_cast<size_t>(i)] = kMarkerIds + i;
  return markers;
}

// Id mode: markers are tokens, the text between them comes in tokens of `token_bytes` bytes.
inline Answer ParseTokens(OutputParserOptions options, std::string_view text, size_t token_bytes,
                          int64_t* num_reasoning = nullptr) {
  options.markers = MarkersAsTokens();
  OutputParser parser(options);
  std::vector<OutputEvent> events;
  bool stopped = false;
  while (!text.empty() && !stopped) {
    TokenId id = kWordId;
    size_t length = 1;
    for (int i = 0; i < kNumMarkers; ++i) {
      const std::string_view marker = MarkerText(static_cast<Marker>(i));
      if (!text.starts_with(marker)) continue;
      id = kMarkerIds + i;
      length = marker.size();
    }
    while (id == kWordId && length < token_bytes && length < text.size() && text[length] != '<') ++length;
    stopped = parser.Push(id, text.substr(0, length), events);
    text.remove_prefix(length);
  }
  parser.Finish(events);
  if (num_reasoning != nullptr) *num_reasoning = parser.num_reasoning_tokens();
  return Result(parser, events);
}

// The answer, after checking that every cut and both ways of finding markers give the same.
inline Answer ParseEveryWay(const OutputParserOptions& options, const std::string& text) {
  const Answer whole = ParsePieces(options, {text});
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(ParsePieces(options, {text.substr(0, cut), text.substr(cut)}), whole)
        << "cut at " << cut << " of " << text;
  }
  std::vector<std::string> bytes;
  for (const char byte : text) bytes.emplace_back(1, byte);
  EXPECT_EQ(ParsePieces(options, bytes), whole) << "byte by byte: " << text;
  for (const size_t token_bytes : {1u, 3u, 1000u}) EXPECT_EQ(ParseTokens(options, text, token_bytes), whole) << text;
  return whole;
}

inline OutputParserOptions Reasoning(ReasoningMode mode, bool structured = false) {
  OutputParserOptions options;
  options.reasoning = mode;
  options.structured_output = structured;
  return options;
}

inline std::string Fenced(std::string_view name, std::string_view arguments) {
  return "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" + std::string(name) + "\n```json\n" + std::string(arguments) +
         "\n```<｜tool▁call▁end｜>";
}
inline std::string Bare(std::string_view name, std::string_view arguments) {
  return "<｜tool▁call▁begin｜>" + std::string(name) + "<｜tool▁sep｜>" + std::string(arguments) +
         "<｜tool▁call▁end｜>";
}
inline std::string Calls(const std::string& inside) {
  return "<｜tool▁calls▁begin｜>" + inside + "<｜tool▁calls▁end｜>";
}

inline OutputParserOptions Tools(ToolCallSyntax syntax) {
  OutputParserOptions options = Reasoning(kClosed);
  options.tool_calls = syntax;
  return options;
}

}  // namespace tessera
