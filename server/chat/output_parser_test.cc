// Stop strings, V2's leading space, and everything mixed at random.
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "server/chat/testing_answer.h"

namespace tessera {
namespace {

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
