// Tool calls in the model's output: the same for every cut, the arguments as written.
#include <string>
#include <vector>

#include "server/chat/testing_answer.h"

namespace tessera {
namespace {

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

}  // namespace
}  // namespace tessera
