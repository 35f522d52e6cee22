// Where an answer is split into reasoning and content, in text and by token ids.
#include <string>
#include <vector>

#include "server/chat/testing_answer.h"

namespace tessera {
namespace {

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

}  // namespace
}  // namespace tessera
