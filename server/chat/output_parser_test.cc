#include "server/chat/output_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "nlohmann/json.hpp"

namespace tessera {
namespace {

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
void PrintTo(const Answer& answer, std::ostream* out) {
  *out << "reasoning \"" << answer.reasoning << "\" content \"" << answer.content << "\" stop " << answer.stop
       << " ends in calls " << answer.ends_in_calls;
  for (const Call& call : answer.calls) *out << " call " << call.id << " " << call.name << "(" << call.arguments << ")";
}

// Joins events as a client does, and checks their order: a call's start comes once, before its arguments.
Answer Join(const std::vector<OutputEvent>& events) {
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

Answer Result(const OutputParser& parser, const std::vector<OutputEvent>& events) {
  Answer answer = Join(events);
  if (parser.stop_match().has_value()) answer.stop = parser.stop_match()->stop_index;
  answer.ends_in_calls = parser.finished_in_tool_calls();
  return answer;
}

// Text mode: no marker has an id, the pieces are cut anywhere.
Answer ParsePieces(const OutputParserOptions& options, const std::vector<std::string>& pieces) {
  OutputParser parser(options);
  std::vector<OutputEvent> events;
  for (const std::string& piece : pieces) {
    if (parser.PushText(piece, events)) break;
  }
  parser.Finish(events);
  return Result(parser, events);
}

constexpr TokenId kMarkerIds = 1000;  // of Marker 0
constexpr TokenId kWordId = 7;

OutputMarkers MarkersAsTokens() {
  OutputMarkers markers;
  for (int i = 0; i < kNumMarkers; ++i) markers.ids[static_cast<size_t>(i)] = kMarkerIds + i;
  return markers;
}

// Id mode: markers are tokens, the text between them comes in tokens of `token_bytes` bytes.
Answer ParseTokens(OutputParserOptions options, std::string_view text, size_t token_bytes,
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
Answer ParseEveryWay(const OutputParserOptions& options, const std::string& text) {
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

OutputParserOptions Reasoning(ReasoningMode mode, bool structured = false) {
  OutputParserOptions options;
  options.reasoning = mode;
  options.structured_output = structured;
  return options;
}

struct ReasoningCase {
  std::string name;
  ReasoningMode mode;
  bool structured;
  std::string output;
  std::string reasoning;
  std::string content;
};
class ReasoningTest : public testing::TestWithParam<ReasoningCase> {};

TEST_P(ReasoningTest, FieldsFollowTheTableForEveryCut) {
  const auto& [name, mode, structured, output, reasoning, content] = GetParam();
  const Answer answer = ParseEveryWay(Reasoning(mode, structured), output);
  EXPECT_EQ(answer.reasoning, reasoning);
  EXPECT_EQ(answer.content, content);
}

constexpr auto kOff = ReasoningMode::kOff;
constexpr auto kClosed = ReasoningMode::kClosed;
constexpr auto kOpen = ReasoningMode::kOpen;

INSTANTIATE_TEST_SUITE_P(
    Table, ReasoningTest,
    testing::Values(ReasoningCase{"OpenJsonUnstructured", kOpen, false, "{\"a\":1}", "{\"a\":1}", ""},
                    ReasoningCase{"OpenJsonStructured", kOpen, true, "{\"a\":1}", "", "{\"a\":1}"},
                    ReasoningCase{"OpenJsonStructuredSpaces", kOpen, true, "\n [1]", "", "\n [1]"},
                    ReasoningCase{"OpenThinksThenJson", kOpen, true, "x</think>{\"a\":1}", "x", "{\"a\":1}"},
                    ReasoningCase{"OpenClosedAtOnce", kOpen, false, "</think>{\"a\":1}", "", "{\"a\":1}"},
                    ReasoningCase{"OpenClosedAtOnceStructured", kOpen, true, "</think>{\"a\":1}", "", "{\"a\":1}"},
                    ReasoningCase{"OpenClosed", kOpen, false, "x</think>y", "x", "y"},
                    ReasoningCase{"OpenTagRepeated", kOpen, false, "<think>x</think>y", "x", "y"},
                    ReasoningCase{"OpenTagRepeatedNewline", kOpen, false, "\n<think>\nx</think>y", "x", "y"},
                    ReasoningCase{"OpenCut", kOpen, false, "x", "x", ""},
                    ReasoningCase{"OpenCutNewlines", kOpen, false, "x\n\n", "x\n\n", ""},
                    ReasoningCase{"OpenEndsInTag", kOpen, false, "x</think>", "x", ""},
                    ReasoningCase{"OpenEmpty", kOpen, false, "", "", ""},
                    ReasoningCase{"OpenSecondTagInside", kOpen, false, "a<think>b</think>c", "a<think>b", "c"},
                    ReasoningCase{"TagInAnswer", kOpen, false, "x</think>```\n</think>\n<think>```", "x",
                                  "```\n</think>\n<think>```"},
                    ReasoningCase{"Trims", kOpen, false, "\n\nx\n y\n\n</think>\n\n  z\n", "\nx\n y", "  z\n"},
                    ReasoningCase{"KeepsSpaces", kOpen, false, "  x </think> y ", "  x ", " y "},
                    ReasoningCase{"NothingInside", kOpen, false, "\n\n</think>\n\n", "", ""},
                    ReasoningCase{"AlmostATag", kOpen, false, "a </thin b</think>c", "a </thin b", "c"},
                    ReasoningCase{"AlmostATagAtTheEnd", kOpen, false, "a</thi", "a</thi", ""},
                    ReasoningCase{"ClosedPlain", kClosed, false, "x</think>y", "", "x</think>y"},
                    ReasoningCase{"ClosedOpensItself", kClosed, false, "<think>\nx\n</think>\n\ny", "x", "y"},
                    ReasoningCase{"ClosedOpensAfterSpace", kClosed, false, "\n<think>x</think>y", "x", "y"},
                    ReasoningCase{"ClosedTagLater", kClosed, false, "a<think>b</think>", "", "a<think>b</think>"},
                    ReasoningCase{"ClosedStrayEnd", kClosed, false, "</think>y", "", "y"},
                    ReasoningCase{"ClosedSpacesKept", kClosed, false, "  leading", "", "  leading"},
                    ReasoningCase{"ClosedOnlySpace", kClosed, false, " ", "", " "},
                    ReasoningCase{"ClosedNewlinesKept", kClosed, false, "\n\n    x", "", "\n\n    x"},
                    ReasoningCase{"ClosedCutInside", kClosed, false, "<think>x", "x", ""},
                    ReasoningCase{"OffIsPlainText", kOff, false, "<think>x</think>y", "", "<think>x</think>y"},
                    ReasoningCase{"OffRunsOfSpaces", kOff, false, "a    b ", "", "a    b "}),
    [](const auto& c) { return c.param.name; });

TEST(ReasoningTokensTest, CountUpToAndIncludingTheClosingTag) {
  int64_t count = -1;
  ParseTokens(Reasoning(kOpen), "ab</think>cd", 1, &count);
  EXPECT_EQ(count, 3);
  ParseTokens(Reasoning(kClosed), "<think>ab</think>cd", 1, &count);
  EXPECT_EQ(count, 4);
  ParseTokens(Reasoning(kOpen, /*structured=*/true), "{}", 1, &count);
  EXPECT_EQ(count, 0);
  ParseTokens(Reasoning(kClosed), "cd", 1, &count);
  EXPECT_EQ(count, 0);
}

TEST(MarkerIdsTest, TextThatMerelySpellsATagDoesNotEndReasoning) {
  OutputParserOptions options = Reasoning(kOpen);
  options.markers = MarkersAsTokens();
  OutputParser parser(options);
  std::vector<OutputEvent> events;
  for (const char* piece : {"say ", "</", "think", ">"}) parser.Push(kWordId, piece, events);
  parser.Push(kMarkerIds + static_cast<int>(Marker::kThinkEnd), "</think>", events);
  parser.Push(kWordId, "done", events);
  parser.Finish(events);
  EXPECT_EQ(Result(parser, events), (Answer{"say </think>", "done", {}, -1, false}));
}

TEST(MarkerIdsTest, ACharacterCutShortByATagBelongsToTheTextBefore) {
  OutputParserOptions options = Reasoning(kOpen);
  options.markers = MarkersAsTokens();
  OutputParser parser(options);
  std::vector<OutputEvent> events;
  parser.Push(kMarkerIds + static_cast<int>(Marker::kThinkEnd), "\uFFFD</think>", events);
  parser.Push(kMarkerIds + static_cast<int>(Marker::kThinkEnd), "", events);  // skipped as a special token
  parser.Finish(events);
  EXPECT_EQ(Result(parser, events).reasoning, "\uFFFD");
}

std::string Fenced(std::string_view name, std::string_view arguments) {
  return "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" + std::string(name) + "\n```json\n" + std::string(arguments) +
         "\n```<｜tool▁call▁end｜>";
}
std::string Bare(std::string_view name, std::string_view arguments) {
  return "<｜tool▁call▁begin｜>" + std::string(name) + "<｜tool▁sep｜>" + std::string(arguments) +
         "<｜tool▁call▁end｜>";
}
std::string Calls(const std::string& inside) { return "<｜tool▁calls▁begin｜>" + inside + "<｜tool▁calls▁end｜>"; }

OutputParserOptions Tools(ToolCallSyntax syntax) {
  OutputParserOptions options = Reasoning(kClosed);
  options.tool_calls = syntax;
  return options;
}

class ToolArgumentsTest : public testing::TestWithParam<std::string> {};

TEST_P(ToolArgumentsTest, EqualTheTextBetweenTheMarkersForEveryCut) {
  const std::string& arguments = GetParam();
  const Answer expected = {"", "", {{"call_0", "get_weather", arguments}}, -1, true};
  EXPECT_EQ(ParseEveryWay(Tools(ToolCallSyntax::kFenced), Calls(Fenced("get_weather", arguments))), expected);
  EXPECT_EQ(ParseEveryWay(Tools(ToolCallSyntax::kBare), Calls(Bare("get_weather", arguments))), expected);
}

INSTANTIATE_TEST_SUITE_P(Arguments, ToolArgumentsTest,
                         testing::Values(R"({"code":123})", R"({"a":[1,{"b":true}]})", R"({"s":"}\"} ```"})",
                                         R"({"s":"\n```\n"})", "{\"s\":\"\n```\nx\"}", R"({"x":null})", "{}", "",
                                         R"({"u":"\u00e9\ud83d\ude00"})", "{\"u\":\"é😀\"}", "{\n  \"a\": 1\n}",
                                         "{broken", "[1,2", "`", "``", "{}`", "1", "true", "\n{}",
                                         "{\"t\": \"<think></think><｜tool\"}"));

TEST(ToolCallTest, TenKilobytesOfArgumentsArriveWhole) {
  const std::string arguments = "{\"s\":\"" + std::string(10000, 'x') + "\"}";
  const Answer answer = ParseTokens(Tools(ToolCallSyntax::kFenced), Calls(Fenced("f", arguments)), 3);
  ASSERT_EQ(answer.calls.size(), 1u);
  EXPECT_EQ(answer.calls[0].arguments, arguments);
}

struct ToolCase {
  std::string name;
  ToolCallSyntax syntax;
  std::string output;
  Answer answer;
};
class ToolCallTest : public testing::TestWithParam<ToolCase> {};

TEST_P(ToolCallTest, CallsAreTheSameForEveryCut) {
  EXPECT_EQ(ParseEveryWay(Tools(GetParam().syntax), GetParam().output), GetParam().answer);
}

constexpr auto kFenced = ToolCallSyntax::kFenced;
constexpr auto kBare = ToolCallSyntax::kBare;
const std::string kSep = "<｜tool▁sep｜>";

INSTANTIATE_TEST_SUITE_P(
    Outputs, ToolCallTest,
    testing::Values(
        ToolCase{"Two",
                 kFenced,
                 Calls(Fenced("f", "{\"a\":1}") + "\n" + Fenced("g", "{}")),
                 {"", "", {{"call_0", "f", "{\"a\":1}"}, {"call_1", "g", "{}"}}, -1, true}},
        ToolCase{"TwoBare",
                 kBare,
                 Calls(Bare("f", "{\"a\":1}") + Bare("g", "")),
                 {"", "", {{"call_0", "f", "{\"a\":1}"}, {"call_1", "g", ""}}, -1, true}},
        ToolCase{"ContentBefore",
                 kFenced,
                 "Let me look. " + Calls(Fenced("f", "{}")),
                 {"", "Let me look. ", {{"call_0", "f", "{}"}}, -1, true}},
        ToolCase{
            "ContentAfter", kBare, Calls(Bare("f", "{}")) + "\n done", {"", "done", {{"call_0", "f", "{}"}}, -1, true}},
        ToolCase{"AfterReasoning",
                 kBare,
                 "<think>\nhm\n</think>\n\n" + Calls(Bare("f", "{}")),
                 {"hm", "", {{"call_0", "f", "{}"}}, -1, true}},
        ToolCase{"NoOuterMarkers", kFenced, Fenced("f", "{}"), {"", "", {{"call_0", "f", "{}"}}, -1, true}},
        ToolCase{"NoOuterEnd",
                 kFenced,
                 "<｜tool▁calls▁begin｜>" + Fenced("f", "{}"),
                 {"", "", {{"call_0", "f", "{}"}}, -1, true}},
        ToolCase{"NoCallEnd",
                 kFenced,
                 "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function" + kSep + "f\n```json\n{\"a\":1}\n```",
                 {"", "", {{"call_0", "f", "{\"a\":1}"}}, -1, true}},
        ToolCase{"NoCallEndBeforeOuterEnd",
                 kBare,
                 "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f" + kSep + "{}<｜tool▁calls▁end｜>",
                 {"", "", {{"call_0", "f", "{}"}}, -1, true}},
        ToolCase{"CutInArguments",
                 kBare,
                 "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f" + kSep + "{\"a\":",
                 {"", "", {{"call_0", "f", "{\"a\":"}}, -1, false}},
        ToolCase{"CutInName",
                 kFenced,
                 "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function" + kSep + "get_w",
                 {"", "", {}, -1, false}},
        ToolCase{"CutInFence",
                 kFenced,
                 "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function" + kSep + "f\n``",
                 {"", "", {{"call_0", "f", "``"}}, -1, false}},
        ToolCase{"NoFence",
                 kFenced,
                 Calls("<｜tool▁call▁begin｜>function" + kSep + "f\n{\"a\":1}<｜tool▁call▁end｜>"),
                 {"", "", {{"call_0", "f", "{\"a\":1}"}}, -1, true}},
        ToolCase{"NoNewlineBeforeFence",
                 kFenced,
                 Calls("<｜tool▁call▁begin｜>function" + kSep + "f```json{\"a\":1}```<｜tool▁call▁end｜>"),
                 {"", "", {{"call_0", "f", "{\"a\":1}"}}, -1, true}},
        ToolCase{"NoNewlineAtAll",
                 kFenced,
                 Calls("<｜tool▁call▁begin｜>function" + kSep + "f{\"a\":1}<｜tool▁call▁end｜>"),
                 {"", "", {{"call_0", "f", "{\"a\":1}"}}, -1, true}},
        ToolCase{"EmptyFence",
                 kFenced,
                 Calls("<｜tool▁call▁begin｜>function" + kSep + "f\n```json\n```<｜tool▁call▁end｜>"),
                 {"", "", {{"call_0", "f", ""}}, -1, true}},
        ToolCase{"NameOnly",
                 kFenced,
                 Calls("<｜tool▁call▁begin｜>function" + kSep + "f<｜tool▁call▁end｜>"),
                 {"", "", {{"call_0", "f", ""}}, -1, true}},
        ToolCase{"NameOnlyBare",
                 kBare,
                 Calls("<｜tool▁call▁begin｜>f<｜tool▁call▁end｜>"),
                 {"", "", {{"call_0", "f", ""}}, -1, true}},
        ToolCase{"SeparatorInArguments",
                 kBare,
                 Calls(Bare("f", "{\"s\":\"" + kSep + "\"}")),
                 {"", "", {{"call_0", "f", "{\"s\":\"" + kSep + "\"}"}}, -1, true}},
        ToolCase{"StrayMarkers", kFenced, "a" + kSep + "b<｜tool▁calls▁end｜>c", {"", "abc", {}, -1, false}},
        ToolCase{"SpaceAfterFence",
                 kFenced,
                 Calls("<｜tool▁call▁begin｜>function" + kSep + "f\n```json\n{}\n``` \n<｜tool▁call▁end｜>\n") + "\n",
                 {"", "", {{"call_0", "f", "{}"}}, -1, true}}),
    [](const auto& c) { return c.param.name; });

TEST(ToolCallTest, StartAndEndInOneStepAreNotLost) {
  OutputParser parser(Tools(kFenced));
  std::vector<OutputEvent> events;
  parser.PushText(Calls(Fenced("f", "{\"a\":1}") + "\n" + Fenced("g", "{}")), events);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].name, "f");
  EXPECT_EQ(events[2].call_id, "call_1");
}

TEST(ToolCallTest, ArgumentsStreamWhileTheModelWrites) {
  OutputParser parser(Tools(kBare));
  std::vector<OutputEvent> events;
  parser.PushText("<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\":", events);
  ASSERT_EQ(events.size(), 2u) << "nothing waits for the end of the call";
  EXPECT_EQ(events[1].text, "{\"a\":");
}

TEST(ToolCallTest, CallIdsComeFromTheCaller) {
  OutputParserOptions options = Tools(kBare);
  options.make_call_id = [](int index) { return "id" + std::to_string(index * 10); };
  const Answer answer = ParsePieces(options, {Calls(Bare("f", "{}") + Bare("g", "{}"))});
  ASSERT_EQ(answer.calls.size(), 2u);
  EXPECT_EQ(answer.calls[1].id, "id10");
}

TEST(ToolCallTest, WithoutToolsTheMarkersAreText) {
  const std::string text = Calls(Bare("f", "{}"));
  EXPECT_EQ(ParseEveryWay(Reasoning(kClosed), text).content, text);
}

OutputParserOptions WithStops(OutputParserOptions options, std::vector<std::string> stops) {
  options.stops = *StopStrings::Create(std::move(stops));
  return options;
}

TEST(OutputStopTest, ContentEndsExactlyBeforeTheStopForEveryCut) {
  const auto options = WithStops(Reasoning(kOff), {"DEFGHIJ"});
  EXPECT_EQ(ParseEveryWay(options, "ABCDEFGHIJK"), (Answer{"", "ABC", {}, 0, false}));
  EXPECT_EQ(ParseEveryWay(options, "ABCDEFGHIX"), (Answer{"", "ABCDEFGHIX", {}, -1, false}));
  EXPECT_EQ(ParseEveryWay(options, "ABCDEFGHI"), (Answer{"", "ABCDEFGHI", {}, -1, false})) << "held-back text arrives";
}

TEST(OutputStopTest, TheStopItselfIsKeptWhenAskedFor) {
  auto options = WithStops(Reasoning(kOff), {"x", "DE"});
  options.include_stop = true;
  EXPECT_EQ(ParseEveryWay(options, "ABCDEF"), (Answer{"", "ABCDE", {}, 1, false}));
}

TEST(OutputStopTest, StopsMatchContentOnlyNotReasoningNorArguments) {
  auto options = WithStops(Reasoning(kOpen), {"stop", "ab"});
  options.tool_calls = kBare;
  EXPECT_EQ(ParseEveryWay(options, "stop ab a</think>b stop x"), (Answer{"stop ab a", "b ", {}, 0, false}));
  EXPECT_EQ(ParseEveryWay(options, "r</think>a" + Calls(Bare("stop", "\"stop\"")) + "b"),
            (Answer{"r", "ab", {{"call_0", "stop", "\"stop\""}}, -1, true}));
}

TEST(OutputStopTest, ACallAfterTheStopIsNotMade) {
  auto options = WithStops(Tools(kBare), {"END"});
  EXPECT_EQ(ParseEveryWay(options, "xEND" + Calls(Bare("f", "{}"))), (Answer{"", "x", {}, 0, false}));
}

TEST(LeadingSpaceTest, OneSpaceIsDroppedInV2AndKeptElsewhere) {
  OutputParserOptions options = Reasoning(kOff);
  options.strip_leading_space = true;
  EXPECT_EQ(ParseEveryWay(options, "  two").content, " two");
  EXPECT_EQ(ParseEveryWay(options, "none ").content, "none ");
  EXPECT_EQ(ParseEveryWay(options, " ").content, "");
  EXPECT_EQ(ParseEveryWay(Reasoning(kOff), "  two").content, "  two");
}

TEST(OutputParserTest, RandomOutputsAreTheSameForRandomCuts) {
  std::mt19937 random(5);
  const std::vector<std::string> words = {"a",
                                          "\n",
                                          " ",
                                          "```",
                                          "`",
                                          "json",
                                          "{",
                                          "}",
                                          "function",
                                          "é",
                                          "<",
                                          "</thi",
                                          "<think>",
                                          "</think>",
                                          "<｜tool▁calls▁begin｜>",
                                          "<｜tool▁calls▁end｜>",
                                          "<｜tool▁call▁begin｜>",
                                          "<｜tool▁call▁end｜>",
                                          "<｜tool▁sep｜>",
                                          "STOP",
                                          "ST"};
  for (int round = 0; round < 3000; ++round) {
    OutputParserOptions options = Reasoning(round % 2 == 0 ? kOpen : kClosed, round % 8 == 4);
    options.tool_calls = round % 3 == 0 ? kBare : kFenced;
    if (round % 5 == 0) options = WithStops(options, {"STOP", "a\n", "Ta"});
    std::string text;
    for (unsigned i = 0; i < 1 + random() % 14; ++i) text += words[random() % words.size()];
    const Answer whole = ParsePieces(options, {text});
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t length = 1 + random() % 6;
      pieces.push_back(text.substr(at, length));
      at += length;
    }
    ASSERT_EQ(ParsePieces(options, pieces), whole) << "round " << round << ": " << text;
  }
}

}  // namespace
}  // namespace tessera
